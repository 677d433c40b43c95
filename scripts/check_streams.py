"""Whether the API documents have what the streams read: nothing can be generated until they do."""

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
    """Print the first stream that they do not have, and what to do; 1 when there is one."""
    try:
        for version in SUPPORTED:
            check_described(STREAMS, document(version))
    except TapError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
