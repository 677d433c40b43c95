"""Random histories of small worlds, to show that nothing is lost and nothing goes stale.

A history is made from a seed: a world with a few connections, changes between and *during* runs of
the tap, runs that are killed at some line. ``history.play(seed)`` plays one and compares, after
each run that promises it, what a keyed target would hold with what the world shows.
"""
