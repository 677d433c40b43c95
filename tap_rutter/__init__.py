"""A Singer tap for Rutter's unified API.

The modules in the order in which a run uses them::

    cli/            the commands: options, signals, exit codes, what people see
    config.py       the configuration as it is given: files and environment variables
    settings.py     what the user decides, checked before any request; names, types and defaults
                    of the settings are in settings_schema.py
    catalog.py      which streams there are, and a given catalog
    tap.py          the tap as the Singer SDK knows it: it holds all of the above and makes the run
    streams/        a class for each endpoint: mostly its name, path and what is particular about it
    sync/           the run. plan.py says what is read, in order: partition after partition (a
                    partition is one stream of one connection). read_ahead.py lets threads read
                    several requests at once and gives their pages to one consumer, in plan order.
                    emitter.py is that consumer: records, bookmarks and states leave in plan order,
                    by way of delivery.py and writer.py. state.py holds the bookmarks, outcomes.py
                    and report.py what became of each partition
    replication/    how a partition is read, for each way of replication, and what its bookmark says
    records/        a row of the API becomes a record: typed, repaired where it must be
    schema/         the API description, and the JSON Schema of each stream's records
    connections/    which merchant connections a run reads, and their sync status at Rutter
    api/            one request with its retries, the responses' bytes, pages, and lists of pages

Beside them: ``errors.py`` (what can go wrong, and what it costs), ``redact.py`` (no secret leaves),
``times.py``, ``names.py``, ``json_values.py`` and ``versions.py``. ``openapi/`` holds Rutter's
published API descriptions. ``simulator/`` (a Rutter for tests), ``demo/`` and ``warehouse/`` (SQL
for the loaded tables) stand apart: the tap does not need them.

Imports run one way: from ``cli`` down to ``api``, never up.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("tap-rutter")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"
