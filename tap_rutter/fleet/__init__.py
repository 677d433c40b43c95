"""Many connections, kept fresh by webhooks, a queue and workers (extra ``fleet``).

A webhook says that a connection's data have changed; the ledger, in PostgreSQL, notes what is due;
workers anywhere claim what is due and run the tap into a target; a sweep makes due what has not
been read for a while, since webhooks alone are not enough.

- ``config.py``: what the operator decides. ``model.py``: the words that the parts share.
- ``ledger/``: the truth. What is due, since when, who works on it, the tap's state per connection.
- ``webhooks/``: the receiver. It verifies, notes in the ledger, and answers.
- ``runs/``: one ``tap | target`` over some connections, from its files to its outcome.
- ``work/``: slots and lanes, the heartbeat, the sweep, the doorbells (Celery).

The fleet imports the tap's settings and little else: it runs the tap as a command. Nothing outside
this room imports it but ``rutterctl``.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """``app``, for ``celery -A tap_rutter.fleet worker``: made when Celery asks for it."""
    if name == "app":
        from tap_rutter.fleet.work.celery_app import celery_application

        return celery_application()
    raise AttributeError(name)
