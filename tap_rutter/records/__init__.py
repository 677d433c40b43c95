"""A row on its way to a record: by the full path, or by the fast path to an equal record.

Here live the full path (``conform.py``), which types and repairs each value and loses none, and the
fast path (``fast_path.py``), which checks that there is nothing to do and keeps the row's own text.
``fast_path.py`` says when it is taken, and what always holds.

Code belongs here if it works on one row, or on the rows of one page, by a schema. Requests,
bookmarks and the writing of messages do not belong here. This room imports ``api`` (JSON) and
``schema``.
"""
