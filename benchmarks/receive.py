"""``python -m benchmarks.receive``: the fleet's receiver in a process of its own."""

from __future__ import annotations

import json
import logging
import sys

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger import Ledger
from tap_rutter.fleet.model import Listed
from tap_rutter.fleet.webhooks.serve import serve


def main(argument: str) -> None:
    """Serve with the secret, port and ledger that the argument names, until SIGTERM."""
    given = json.loads(argument)
    logging.basicConfig(level="WARNING")
    config = FleetConfig(ledger_url=given["ledger_url"], webhook_secrets=(given["secret"],))
    with Ledger(config.ledger_url) as ledger:
        ledger.migrate()
        names = [f"c-{number}" for number in range(given["connections"])]
        ledger.record_listing([Listed(name, "SHOPIFY", "active") for name in names])
        serve(config, ledger, port=given["port"])


if __name__ == "__main__":
    main(sys.argv[1])
