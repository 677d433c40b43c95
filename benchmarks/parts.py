"""Where the tap's processor time goes: each part of a record's way is measured by itself."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from benchmarks.bench import Bench
from benchmarks.contestants import PAGE_SIZE
from benchmarks.lists import ORDERS
from benchmarks.serve import World
from tap_rutter.api.body import split
from tap_rutter.api.json_text import is_clean
from tap_rutter.api.list_decoder import ListDecoder
from tap_rutter.api.request import Response
from tap_rutter.api.transport import Transport
from tap_rutter.sync.delivery import Line, in_order_of_age
from tap_rutter.tap import TapRutter

_PAGES = 40
_TIMES = 5


def measure(bench: Bench) -> dict[str, float]:
    """Microseconds of processor time for each row, by part, in the sequence of a row's way."""
    pages = bench.size(_PAGES, 2)
    with bench.serving(World(orders=PAGE_SIZE)) as server:
        config = {name: server[name] for name in ("api_url", "client_id", "client_secret")}
        tap = TapRutter(config=config)
        [stream] = [entry for entry in tap.rutter_streams if entry.name == ORDERS]
        short = stream.fast_path
        assert short is not None
        key, field = stream.records_key, stream.replication_key
        wire = Transport(tap.settings, lambda: False)
        params = {
            "access_token": server["connections"][0]["access_token"],
            "limit": str(PAGE_SIZE),
        }

        def ask() -> bytes:
            return wire.get(stream.path, params, end=time.monotonic() + 60).content

        content = ask()
        raws, _ = split(content, key)
        decode = ListDecoder(key, field, where=stream.path, fast_path=short)
        page = decode(Response(content, 0))
        if not page.all_pass or len(raws) != PAGE_SIZE:
            raise RuntimeError("the page does not take the fast path")
        line = Line(stream.name, "0" * 36, datetime.now(UTC))
        lines = line.block_of(in_order_of_age(page))

        def each(step: Callable[[], object]) -> float:
            return min(_seconds(step, pages) for _ in range(_TIMES)) / pages / PAGE_SIZE * 1e6

        cut = each(lambda: split(content, key))
        types = each(lambda: short.rows_of(content, key))
        clean = each(lambda: is_clean(content, raws))
        found = {
            "asking, and reading the answer": each(ask),
            "cutting the page into rows": cut,
            "checking the types of all fields, times included": types,
            "looking for NUL, surrogates, bad UTF-8, secrets' names": clean,
            "ids, order of times, cursor": each(lambda: decode(Response(content, 0)))
            - cut
            - types
            - clean,
            "making lines": each(lambda: line.block_of(in_order_of_age(page))),
            "writing them to a pipe": _written(lines, each),
        }
        wire.close()
    return {name: max(0.0, value) for name, value in found.items()}


def _seconds(step: Callable[[], object], times: int) -> float:
    begun = time.process_time()
    for _ in range(times):
        step()
    return time.process_time() - begun


def _written(lines: memoryview, each: Callable[[Callable[[], object]], float]) -> float:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader:
        assert reader.stdin is not None
        descriptor = reader.stdin.fileno()

        def write() -> None:
            left = lines
            while left:
                left = left[os.write(descriptor, left) :]

        taken = each(write)
        reader.stdin.close()
    return taken


def as_markdown(parts: Mapping[str, float], run: Any) -> str:
    """A table of shares in a whole run.

    Args:
        parts: Microseconds by part.
        run: The row of the whole run.
    """
    start = run.start.cpu if run.start else 0.0
    shares = {"starting the process: Python, the SDK": start}
    shares |= {name: value / 1e6 * run.records for name, value in parts.items()}
    shares["all else: two threads, the SDK's loop, a log"] = max(
        0.0, run.cpu - sum(shares.values())
    )
    rows = [f"| {name} | {seconds / run.cpu:.0%} |" for name, seconds in shares.items()]
    return "\n".join(["| part | share |", "| --- | ---: |", *rows])
