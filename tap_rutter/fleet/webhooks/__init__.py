"""The receiver of Rutter's webhooks: it verifies, notes in the ledger, and answers.

- ``signature.py``: whether it comes from Rutter. ``events.py``: what it tells.
- ``committer.py``: many webhooks in one transaction. ``receiver.py``: the ASGI application.
- ``serve.py``: the application on a port, until a signal.

It knows the ledger by what it does with it: put webhooks in, and ask whether it answers. It reads
no data, publishes no message and keeps no body: what is kept are marks, and what was deleted.
"""
