"""SQL for the PostgreSQL tables that a Singer target loads from the tap.

Each script in ``sql/`` begins with a comment that says what it does. ``scripts.py`` fills in the
schema and the other values, ``database.py`` runs a script and returns its counts, ``command.py`` is
``rutterctl sql``. Every script can safely be run again, even after each sync.

SQL for the loaded tables belongs here. This room does not import the tap, nor the tap this room.
"""

from tap_rutter.warehouse.scripts import SCRIPTS, render

__all__ = ["SCRIPTS", "render"]
