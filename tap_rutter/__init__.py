"""A Singer tap for Rutter's unified API.

The walk through the code, in the order in which a run happens::

    main.py         the command: exit codes, signals, what is said at the end
    settings.py     what the user decides, checked before any request; so are a given catalog
                    (catalog.py) and stream maps (maps.py)
    connections.py  which merchant connections a run reads; facts.py: how each stands at Rutter
    plan.py         what is to be read, in order: one pair of stream and connection after another
    reading.py      a pair: where it starts, and the requests that it makes
    asking.py       one such request, and what its answer means for the pair's further ones
    kinds/          how a pair of each replication kind is read, and what its bookmark may say
    ahead.py        threads walk chains ahead, one consumer gets their pages in plan order
    client.py       one request and its retries; wire.py: one try, and the answer's bytes
    patience.py     when a request, a connection and the whole run give up
    pages.py        an answer's bytes cut into records; paging.py: to the end of the list
    run.py          the emitter: records, bookmarks and states in plan order
    records.py      a record as it leaves: typed, repaired where it must be, nothing lost
    short.py        the short way of pages and records that need no repair
    delivery.py     records and STATE on their way out; writer.py: to standard output, in blocks
    state.py        bookmarks by connection, found at once
    outcomes.py     complete, skipped or failed; report.py: told as rows and as a summary

``streams/`` holds a class for each endpoint: facts, no methods.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("tap-rutter")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"
