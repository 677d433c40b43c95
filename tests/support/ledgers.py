"""A ledger's bills and vendors, on which most kinds of trouble are tried out."""

from __future__ import annotations

import json
from typing import Any

from support.in_process import Run, sync
from tap_rutter.simulator import Simulator

BILLS, BILLS_PATH = "accounting_bills", "/accounting/bills"
VENDORS, VENDORS_PATH = "accounting_vendors", "/accounting/vendors"


def read(simulator: Simulator, **more: Any) -> Run:
    """A run that reads both lists, one request at a time unless it says otherwise."""
    return sync(simulator, BILLS, VENDORS, **{"concurrency": 1, **more})


def error(code: str, message: object = "as Rutter puts it") -> str:
    """An error in Rutter's own form."""
    return json.dumps({"error_type": "ERROR", "error_code": code, "error_message": message})
