"""Workers: slots that claim what is due, run it, and write down how it went.

- ``engine.py``: one worker. Its slots look in the ledger, on a doorbell or every few seconds.
- ``lanes.py``: which slot takes which lane (pure). ``heartbeat.py``: leases are renewed, and a run
  whose lease cannot be renewed is killed before it ends.
- ``housekeeping.py``: what any worker may do for all: the sweep, runs of workers that are gone, the
  doorbells' relay. ``connection_list.py``: Rutter's list of connections, with their tokens.
- ``place.py``: where a slot runs. ``doorbells.py``, ``celery_app.py``: Celery. ``metrics.py``: what
  Prometheus sees of a worker. ``worker.py``: all of it as a process.

Runs are of ``runs``, the truth is in ``ledger``; here they are brought together.
"""
