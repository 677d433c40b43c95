"""Rutter's API as the tap sees it: requests, their responses, and lists of pages.

Here live one request with its tries (``client.py``, over ``transport.py``, ``throttle.py`` and
``patience.py``) and its way to Rutter (``route.py``, ``exchange.py``), the run's clock, jobs that a
response may stand for, JSON as bytes and as values (``json_text.py``, ``body.py``), and pages:
decoded (``list_decoder.py``), judged by their rows' times (``pages.py``) and followed to the end
(``paging.py``).

Code belongs here if it is about HTTP, JSON or paging, and would be the same for any list of any
stream. Streams, schemas, bookmarks and what a row means do not belong here. This room imports the
settings, errors and the like, and no other room.
"""
