"""Webhooks by the thousand into the fleet's receiver, with a real ledger behind it.

They are sent at a fixed pace, whether or not the receiver keeps up: a webhook's latency counts
from the moment at which it was to be sent. Half of them are deletions, each of which must be found
in the ledger afterwards.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from benchmarks.bench import Bench, Entry
from benchmarks.environments import ROOT
from benchmarks.loading import postgres
from benchmarks.measure import Cost, RunFailed
from benchmarks.rows import Row
from tap_rutter.demo.database import Database

TITLE = "The fleet's receiver"
REFERENCE = "signed"
UNSIGNED = "unsigned"
PACE = 1_000
"""Webhooks a second."""
_SECRET = "a client secret"
_CONNECTIONS = 500
_SENDERS = 64
_FILLING = "x" * 2_500  # with it, a body is as large as an order
_START = datetime(2026, 3, 2, tzinfo=UTC)
_BEGIN_SECONDS = 120.0
_MEMORY_EVERY = 0.25


def measure(bench: Bench) -> tuple[str, list[Row]]:
    """Signed webhooks, and the same with signatures of a wrong secret."""
    seconds = bench.size(30, 3)
    count = PACE * seconds
    with postgres() as database:
        entries = []
        for key, setting in ((REFERENCE, "signed"), (UNSIGNED, "signed with a wrong secret")):
            row = Row(
                group="all",
                key=key,
                label="receiver",
                setting=setting,
                units=count,
                records=count,
            )
            entries.append(Entry(row, _Receiving(database, row, count)))
        rows = bench.measure(entries)
    about = (
        f"{PACE:,} webhooks a second for {seconds} s, of about 3 kB each, over {_SENDERS}"
        f" connections, about {_CONNECTIONS} merchants. CPU and memory are the receiver's, without"
        " those of PostgreSQL and of the sender, which run on the same cores."
    )
    return about, rows


@dataclass
class _Sent:
    """What came of the webhooks that were sent."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def percentile(self, share: float) -> float:
        """Seconds in which so large a share was answered."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class _Receiving:
    """One run: a receiver, an empty ledger, and all webhooks."""

    def __init__(self, database: Database, row: Row, count: int) -> None:
        self._database = database
        self._row = row
        self._is_signed = row.key == REFERENCE
        self._count = count

    def __call__(self, folder: Path) -> Cost:
        with psycopg.connect(self._database.uri, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS rutter_fleet CASCADE")
        requests = [self._request(number) for number in range(self._count)]
        port = _free_port()
        given = {
            "ledger_url": self._database.uri,
            "secret": _SECRET,
            "port": port,
            "connections": _CONNECTIONS,
        }
        memory: list[tuple[float, int]] = []
        with (folder / "receiver.txt").open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.receive", json.dumps(given)],
                cwd=ROOT,
                stderr=errors,
            )
            try:
                _wait_until_ready(port, process)
                before = _processor_seconds(process.pid)
                started = time.monotonic()
                sent = asyncio.run(_send(port, requests, process.pid, memory))
                wall = time.monotonic() - started
                cpu = _processor_seconds(process.pid) - before
            finally:
                process.send_signal(signal.SIGTERM)
                if process.wait(60):
                    raise RunFailed(f"the receiver ended with {process.returncode}")
        self._check(sent)
        self._row.latencies.append(sent.percentile(0.99))
        self._row.note = (
            f"p50 {sent.percentile(0.5) * 1e3:.0f} ms, p99 {sent.percentile(0.99) * 1e3:.0f} ms,"
            f" longest {max(sent.latencies) * 1e3:.0f} ms; none lost"
        )
        peak = max(size for _, size in memory)
        return Cost(wall=wall, cpu=cpu, peak=peak, memory=tuple(memory))

    def _request(self, number: int) -> bytes:
        moment = _START + timedelta(seconds=number)
        order = {"id": f"o-{number}", "updated_at": moment.isoformat(), "note": _FILLING}
        body = json.dumps(
            {
                "type": "ORDER",
                "code": "ORDER_DELETED" if number % 2 else "ORDER_UPDATED",
                "connection_id": f"c-{number // 2 % _CONNECTIONS}",
                "access_token": "a token",
                "order": order,
            }
        ).encode()
        secret = _SECRET if self._is_signed else "another secret"
        digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
        head = (
            f"POST /webhooks HTTP/1.1\r\nHost: receiver\r\nContent-Length: {len(body)}\r\n"
            f"X-Rutter-Signature: sha256={base64.b64encode(digest).decode()}\r\n\r\n"
        )
        return head.encode() + body

    def _check(self, sent: _Sent) -> None:
        expected = 200 if self._is_signed else 401
        if sent.statuses != {expected: self._count}:
            raise RunFailed(f"not all were answered {expected}: {dict(sent.statuses)}")
        with psycopg.connect(self._database.uri) as connection:
            deletions, marks = (
                connection.execute(f"SELECT {what} FROM rutter_fleet.{table}").fetchall()
                for what, table in (
                    ("object_id", "deletions"),
                    ("connection_id, since", "marks WHERE stream = 'commerce_orders'"),
                )
            )
        taken = self._count if self._is_signed else 0
        if {row[0] for row in deletions} != {f"o-{number}" for number in range(1, taken, 2)}:
            raise RunFailed(f"{len(deletions)} of {taken // 2} deletions are in the ledger")
        least = {
            f"c-{number // 2}": _START + timedelta(seconds=number)
            for number in range(0, min(taken, 2 * _CONNECTIONS), 2)
        }
        if dict(marks) != least:
            raise RunFailed("the marks do not bear the least times")


async def _send(
    port: int, requests: Sequence[bytes], pid: int, memory: list[tuple[float, int]]
) -> _Sent:
    """Send each at its time; the receiver's memory is looked at meanwhile."""
    sent = _Sent()
    numbers = iter(range(len(requests)))
    begin = time.monotonic() + 0.2

    async def sender() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            due = begin + number / PACE
            await asyncio.sleep(due - time.monotonic())
            writer.write(requests[number])
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            sent.latencies.append(time.monotonic() - due)
            sent.statuses[int(head.split(b" ", 2)[1])] += 1
        writer.close()

    async def watch() -> None:
        while True:
            memory.append((time.monotonic() - begin, _memory(pid)))
            await asyncio.sleep(_MEMORY_EVERY)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(sender() for _ in range(_SENDERS)))
    watching.cancel()
    memory.append((time.monotonic() - begin, _memory(pid)))
    return sent


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _BEGIN_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with (
            suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10),
        ):
            return
        time.sleep(0.1)
    raise RunFailed("the receiver does not start")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _processor_seconds(pid: int) -> float:
    """Seconds of user and system, from /proc: the process is still running."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
