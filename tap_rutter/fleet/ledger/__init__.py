"""The ledger: PostgreSQL, schema ``rutter_fleet``. It is the truth of the fleet.

It knows what is due and since when, who works on it and for how long, the tap's state of each
connection, and how its runs went. Messages only say that it is worth a look.

- ``ledger.py``: the door. ``database.py``: short transactions, tried again. ``migrate.py`` and
  ``migrations/``: its tables.
- ``marks.py``, ``listing.py``: what makes connections due. ``claims.py``: who takes them,
  ``leases.py``: for how long. ``ending.py``: how claims end; ``verdicts.py``: whose fault a
  failure is (pure).
- ``states.py``: a tap's state, cut by connection and joined (pure).
- ``fleet_row.py``, ``api_version.py``, ``prepare.py``: what holds for the whole fleet.
  ``operate.py``: what operators do and see.

Only the database's clock counts here. Nothing secret is kept: no token comes in.
"""

from tap_rutter.fleet.ledger.errors import (
    ClaimLost,
    LedgerError,
    LedgerUnavailable,
    OtherApiVersion,
)
from tap_rutter.fleet.ledger.ledger import Ledger
from tap_rutter.fleet.ledger.operate import ConnectionStatus

__all__ = [
    "ClaimLost",
    "ConnectionStatus",
    "Ledger",
    "LedgerError",
    "LedgerUnavailable",
    "OtherApiVersion",
]
