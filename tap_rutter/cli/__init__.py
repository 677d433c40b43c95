"""The two commands, ``tap-rutter`` and ``rutterctl``: what people type, see, and get as exit codes.

``tap_command.py`` is the console script and ``running.py`` its run; ``endings.py`` has the exit
codes, ``signals.py`` ends a run in order, ``summary.py``, ``progress_bar.py`` and ``log.py`` are
what people see of it. ``rutterctl.py`` and ``check.py`` are for operators.

Options, exit codes, signals and all that is written for people belong here. Code that decides which
rows leave, or where a bookmark stands, does not. This room may import all others. Only ``demo``
imports it, to run the commands.
"""
