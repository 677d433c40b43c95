"""How a partition, one stream of one connection, is read, and what its bookmark may say.

Here live the partition and what all partitions of a run share (``base.py``, ``run_context.py``),
the items that its readers yield (``items.py``), and a module for each replication method: synced,
updated (with ``windows.py``), statements, snapshots, per parent, per name.

What comes in decides which requests a partition makes, or up to where its rows are complete. What
does not: threads, messages, the state as a whole, any one stream. This room imports ``api``,
``connections``, ``schema`` and, for the fast path's type, ``records``.
"""
