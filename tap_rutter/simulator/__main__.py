"""The simulator's command line."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

from tap_rutter.simulator.bulk import bulk_world
from tap_rutter.simulator.documents import UnknownVersion
from tap_rutter.simulator.server import Simulator
from tap_rutter.simulator.text import parse_iso
from tap_rutter.simulator.world import DEFAULT_START, DEFAULT_VERSION, World
from tap_rutter.simulator.worlds import standard_world


def main(argv: Sequence[str] | None = None, *, command: str | None = None) -> int:
    """Serve a simulated Rutter until interrupted; returns the exit code.

    Args:
        argv: The arguments; by default those of the process.
        command: The command in front of the arguments, for the help.
    """
    arguments = _parser(command or "python -m tap_rutter.simulator").parse_args(argv)
    try:
        world = _world(arguments)
    except UnknownVersion as error:
        print(error, file=sys.stderr)
        return 2
    simulator = Simulator(
        world,
        host=arguments.host,
        port=arguments.port,
        latency=arguments.latency / 1000,
        gzip=not arguments.no_gzip,
    )
    try:
        for url in arguments.webhooks:
            simulator.webhooks.subscribe(url)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        simulator.start()
    except OSError as error:
        print(f"cannot listen on {arguments.host}:{arguments.port}: {error}", file=sys.stderr)
        return 1
    if arguments.real_time:
        world.clock.follow_real_time()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    print(_greeting(simulator), flush=True)
    stopped.wait()
    simulator.stop()
    return 0


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command,
        description="A simulated Rutter API on this machine. None of its data are real.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on; 0: any free one")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same world")
    parser.add_argument("--version", default=DEFAULT_VERSION, help="API version that it speaks")
    parser.add_argument(
        "--orders", type=int, default=0, help="a world for benchmarks, with this many orders"
    )
    parser.add_argument(
        "--connections", type=int, default=1, help="connections of the world for benchmarks"
    )
    parser.add_argument("--latency", type=float, default=0, help="milliseconds before each answer")
    parser.add_argument("--no-gzip", action="store_true", help="never compress answers")
    parser.add_argument("--start", type=_moment, help="the world's first moment, ISO 8601")
    parser.add_argument("--real-time", action="store_true", help="start now, and let time pass")
    parser.add_argument(
        "--poll",
        action="store_true",
        help="changes become visible at a connection's next sync, not at once",
    )
    parser.add_argument(
        "--webhooks",
        action="append",
        default=[],
        metavar="URL",
        help="send signed webhooks to this address when something changes; may be given again",
    )
    return parser


def _moment(text: str) -> datetime:
    milliseconds = parse_iso(text)
    if milliseconds is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO 8601 time")
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _world(arguments: argparse.Namespace) -> World:
    start = arguments.start
    if start is None:
        start = datetime.now(UTC).replace(microsecond=0) if arguments.real_time else DEFAULT_START
    if arguments.orders:
        return bulk_world(
            arguments.orders,
            arguments.connections,
            seed=arguments.seed,
            version=arguments.version,
            start=start,
        )
    return standard_world(
        arguments.seed, version=arguments.version, start=start, immediate=not arguments.poll
    )


def _greeting(simulator: Simulator) -> str:
    world = simulator.world
    return "\n".join(
        [
            f"Simulated Rutter API {world.version}, seed {world.seed}, at {world.clock}",
            f"api_url        {simulator.api_url}",
            f"client_id      {simulator.client_id}",
            f"client_secret  {simulator.client_secret}",
            f"connections    {len(world.connections)}",
            f"control        {simulator.control_url}/world",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
