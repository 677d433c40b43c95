"""A row on its way to a record: by the full path, or by the fast path to an equal record.

Here live the full path (``conform.py``), which types and repairs each value and loses none, and the
fast path (``fast_path.py``), which checks that there is nothing to do and keeps the row's own text.
``fast_path.py`` tells when it is taken, and what always holds.

What comes in works on one row, or on the rows of one page, by a schema. What does not: requests,
bookmarks, the writing of messages. This room imports ``api`` (JSON) and ``schema``.
"""
