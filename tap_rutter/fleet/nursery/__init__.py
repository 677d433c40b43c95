"""The processes of runs: a nursery that forks supervisors, each of which looks after one run.

A worker starts one nursery. For each run the nursery forks a supervisor, in a session of its own,
with descriptors that the worker hands over. The supervisor starts the target, waits for its orders,
starts the tap, and ends both when its worker goes, however that happens. These processes are small
and have one thread, so that they can be forked: this room imports the standard library only, and,
where the tap is to be forked as well, the tap.

- ``__main__.py``: the nursery. ``supervisor.py``: what becomes of a run's processes.
  ``children.py``: how they are started. ``wire.py``: how orders and events travel.
"""
