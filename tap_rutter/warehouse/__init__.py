"""SQL for the tables that a Singer target loads from the tap into PostgreSQL.

The scripts in ``sql/`` say what each does. ``scripts.py`` fills in the schema and the other
values, ``database.py`` runs a script and gives back what it counted, ``command.py`` is
``rutterctl sql``. Every script is safe to run again, after each sync if one likes.

SQL for the loaded tables belongs here. It does not import the tap, and the tap does not import it.
"""

from tap_rutter.warehouse.scripts import SCRIPTS, render

__all__ = ["SCRIPTS", "render"]
