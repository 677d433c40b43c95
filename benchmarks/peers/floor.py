"""The floor: the least work with which pages can be read and records written.

It has one keep-alive connection, splits each page into raw texts, and writes each text between the
two halves of a message. It checks nothing, keeps no state, and handles no error.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import urllib3

_PAGE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_CURSOR = msgspec.json.Decoder(str | None)


def main() -> None:
    """Read the orders of one connection."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    [connection], [stream] = job["connections"], job["streams"]
    http = urllib3.PoolManager()
    headers = urllib3.make_headers(basic_auth=f"{job['client_id']}:{job['client_secret']}")
    headers["X-Rutter-Version"] = job["api_version"]
    params = {"access_token": connection["access_token"], "limit": str(job["page_size"])}
    opening = b'{"type":"RECORD","stream":"%b","record":' % stream["name"].encode()
    cursor: str | None = ""
    while cursor is not None:
        query = urlencode(params | ({"cursor": cursor} if cursor else {}))
        answer = http.request("GET", f"{job['api_url']}{stream['path']}?{query}", headers=headers)
        page = _PAGE.decode(answer.data)
        block = b"".join(
            [opening + bytes(row) + b"}\n" for row in _ROWS.decode(page[stream["key"]])]
        )
        write(block)
        cursor = _CURSOR.decode(page["next_cursor"]) if "next_cursor" in page else None


def write(block: bytes) -> None:
    """Write all bytes to standard output."""
    view = memoryview(block)
    while view:
        view = view[os.write(1, view) :]


if __name__ == "__main__":
    main()
