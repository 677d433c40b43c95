"""A worker that does nothing but run: killed by tests, and started again with what it had kept.

``python run_worker.py FILE``: FILE holds what to run; states are kept in a file beside it, as the
ledger would keep them. It runs until it has succeeded once, and then exits with 0.
"""

from __future__ import annotations

import json
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.model import Claim, Lane, Member, State
from tap_rutter.fleet.runs import Slot, run_claim


def main() -> None:
    order = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in order["config"].items()
    }
    config = FleetConfig(**given)
    kept = Path(order["states"])
    states: dict[str, State] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    slot = Slot(config)
    members = tuple(
        Member(name, row["platform"], row["status"], states.get(name), (), None, None)
        for name, row in order["listing"].items()
    )

    def on_states(changed: dict[str, State], _: State) -> None:
        states.update(changed)
        beside = kept.with_suffix(".new")
        beside.write_text(json.dumps(states), encoding="utf-8")
        beside.replace(kept)

    claim_id: Any = slot.claim_id() if order.get("spare") else uuid.uuid4()
    claim = Claim(claim_id, Lane.SWEEP, members[0].platform, members, order["lease_seconds"])
    done = run_claim(
        claim,
        config,
        listing=order["listing"],
        on_states=on_states,
        stop=threading.Event(),
        slot=slot,
    )
    print(done.fault, done.message, flush=True)
    slot.close()
    sys.exit(0 if done.fault is None else 1)


if __name__ == "__main__":
    main()
