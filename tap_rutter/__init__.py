"""A Singer tap for Rutter's unified API.

The walk through the code, in the order in which a run happens::

    settings.py     what the user decides, checked before any request
    connections.py  which merchant connections a run reads, and how they stand
    plan.py         what is to be read, in order: one pair of stream and connection after another
    kinds.py        how a pair of each replication kind is read: chains of pages
    ahead.py        threads walk chains ahead, one consumer gets their pages in plan order
    client.py       one request: address, headers, retries, the answer's bytes
    pages.py        an answer's bytes cut into records, and the cursor to the next page
    records.py      a record as it leaves: typed, repaired where it must be, nothing lost
    progress.py     what a bookmark may say after each page
    state.py        bookmarks by connection, found at once
    run.py          the emitter: records, bookmarks and states in plan order
    writer.py       Singer messages to standard output, in blocks

``streams/`` holds a class for each endpoint: facts, no methods.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("tap-rutter")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"
