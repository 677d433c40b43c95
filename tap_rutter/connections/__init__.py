"""The merchant connections of an organisation, and how each of them stands at Rutter.

Here live which connections a run reads (``selection.py``), when Rutter last synced one and what its
platform cannot serve (``sync_status.py``), how far back its data go (``history.py``, pure: no
requests), and hints about settings that name what is not there.

Code belongs here if it is about a connection as a whole. Streams, partitions and bookmarks do not
belong here. This room imports ``api``, and from ``records`` how a key is derived.
"""
