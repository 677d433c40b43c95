"""How a partition, one stream of one connection, is read, and where its bookmark may stand.

Here live the partition and what all partitions of a run share (``base.py``, ``run_context.py``),
the items that its readers yield (``items.py``), and a module for each replication: synced, updated
(with ``windows.py``), statements, snapshots, per parent, per name.

Code belongs here if it decides which requests a partition makes, or up to where its rows are
complete. Threads, messages, the state as a whole and single streams do not belong here. This room
imports ``api``, ``connections``, ``schema`` and, for the fast path's type, ``records``.
"""
