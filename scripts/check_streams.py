"""Check that the API documents have the endpoints and types of all streams, before generating."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tap_rutter.errors import TapError
from tap_rutter.schema.document import document
from tap_rutter.streams import STREAMS
from tap_rutter.streams.described import check_described
from tap_rutter.versions import SUPPORTED


def main() -> int:
    """Print the first stream that the documents lack, and what to do; 1 if there is one."""
    try:
        for version in SUPPORTED:
            check_described(STREAMS, document(version))
    except TapError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
