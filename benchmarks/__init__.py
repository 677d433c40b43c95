"""Measures the tap against its alternatives; run by ``make bench``.

``cases.py`` says what is measured, ``contestants.py`` by whom, ``peers/`` holds what had to be
written for the peers, ``targets.py`` what was set out to be reached. ``bench.py`` runs a case's
rows in turn; ``measure.py`` and ``watch.py`` run one process and see what it costs; ``serve.py`` is
the simulated API in a process of its own. ``idle.py`` and ``loading.py`` are cases that need more
than reading: a first run whose state is kept (``keeping.py``), a database. ``receiving.py`` sends
webhooks to the fleet's receiver, which is in a process of its own (``receive.py``); ``working.py``
has a whole fleet at work. ``rows.py``,
``tables.py``, ``page.py``, ``summary.py`` (the README's tables) and ``chart.py`` keep and show what
came out.
"""
