"""A run: what is read in which order, ahead of the one thread that delivers it.

Here live the run (``run.py``: it starts, hands streams to the emitter, and has a result), its plan
and the threads that read ahead of it (``plan.py``, ``read_ahead.py``), the emitter and what leaves
(``emitter.py``, ``delivery.py``, ``maps.py``, ``writer.py``), the state (``state.py``), and what is
told of a run (``outcomes.py``, ``report.py``, ``progress.py``). ``preview.py`` tries streams out
without a run's bookmarks. ``interfaces.py`` says what a run
needs of the tap and of its streams, so that neither is imported here.

Code belongs here if it is about the run as a whole. How a list is requested, what a value means,
which streams exist, and what a person sees on a terminal do not belong here.
"""
