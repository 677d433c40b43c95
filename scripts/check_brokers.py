"""Whether the tests of RabbitMQ and Redis have run, where one of the two answers.

``make test`` passes on a machine without brokers. On one that has them, tests that were skipped, or
not collected, must not look like tests that passed.

Usage: check_brokers.py REPORT…, the files that pytest's --junitxml has written.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def ran(reports: Sequence[Path], broker: str) -> bool:
    """Whether a test of this broker was run, and none was skipped."""
    word = broker.lower()
    cases = [
        case
        for report in reports
        for case in ET.parse(report).iter("testcase")
        if "test_doorbells" in case.get("classname", "") and word in case.get("name", "").lower()
    ]
    return bool(cases) and all(case.find("skipped") is None for case in cases)


def main(reports: Sequence[Path]) -> int:
    """Say what was not run; returns the exit code."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.brokers import BROKERS, answers

    wrong = [name for name, url in BROKERS.items() if answers(url) and not ran(reports, name)]
    for name in wrong:
        print(f"{name} answers, but its tests did not run.", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
