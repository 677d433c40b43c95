"""A run: one ``tap | target`` over some connections, from its files to its outcome.

In comes a claim of the ledger and Rutter's rows of its connections. Out go each STATE that the
target has committed, at once and cut by connection, and in the end how it went for each of them.
No token, no client secret and no state is left behind, however it ends.

- ``run.py``: the whole of it. ``files.py``: what the tap is given. ``environment.py``: what of the
  worker's environment its processes get. ``command.py``: which commands they are. ``meltano.py``:
  both by way of Meltano.
- ``slot.py``: a place for a run, with a spare target. ``runner.py``: the worker's side of the
  processes that ``fleet/nursery`` starts. ``pipe.py``: what comes out of them.
- ``outcome.py``: how it ended, and whose fault that was.
- ``tables.py``: tables are prepared before loads. ``sessions.py``: what a lost run has left in the
  target's database.
"""

from tap_rutter.fleet.runs.files import read_catalog, remove_leftovers
from tap_rutter.fleet.runs.meltano import asked
from tap_rutter.fleet.runs.run import run_claim
from tap_rutter.fleet.runs.runner import NurseryGone
from tap_rutter.fleet.runs.sessions import SessionsRemain, session_name, terminate_sessions
from tap_rutter.fleet.runs.slot import Slot
from tap_rutter.fleet.runs.tables import PrepareFailed, ensure_prepared, prepare, schema_hash

__all__ = [
    "NurseryGone",
    "PrepareFailed",
    "SessionsRemain",
    "Slot",
    "asked",
    "ensure_prepared",
    "prepare",
    "read_catalog",
    "remove_leftovers",
    "run_claim",
    "schema_hash",
    "session_name",
    "terminate_sessions",
]
