"""What Prometheus sees of a worker and of the ledger behind it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import start_http_server
from prometheus_client.registry import Collector

from tap_rutter.errors import ConfigError
from tap_rutter.fleet.ledger import Ledger, LedgerError
from tap_rutter.fleet.model import Claim, Fault, RunResult

logger = logging.getLogger("tap-rutter.fleet")

_SECONDS = (0.5, 1, 2, 3, 5, 10, 15, 30, 60, 120, 300, 900, 3600)


class RunMetrics:
    """Counts runs; no label holds a connection, of which there are thousands."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = Counter(
            "rutter_fleet_runs",
            "Runs by lane and how they ended: complete, stopped, or whose fault it was.",
            ["lane", "ended"],
            registry=registry,
        )
        self._seconds = Histogram(
            "rutter_fleet_run_seconds",
            "How long runs took.",
            ["lane"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._connections = Counter(
            "rutter_fleet_connections_run",
            "Connections that runs were over with, by lane and result.",
            ["lane", "result"],
            registry=registry,
        )
        self._rows = Counter(
            "rutter_fleet_rows", "Rows that runs delivered.", ["lane"], registry=registry
        )
        self._throttled = Counter(
            "rutter_fleet_throttled_requests", "Requests answered 429.", registry=registry
        )

    def started(self, claim: Claim) -> None:
        """Nothing: runs are counted when they have ended."""

    def ended(self, claim: Claim, result: RunResult) -> None:
        """Count a run."""
        how = "stopped" if result.stopped else _word(result.fault)
        self._runs.labels(claim.lane, how).inc()
        self._seconds.labels(claim.lane).observe(result.seconds)
        for outcome in result.outcomes:
            said = "complete" if outcome.succeeded else "failed"
            self._connections.labels(claim.lane, said).inc()
            self._rows.labels(claim.lane).inc(outcome.rows)
        self._throttled.inc(result.throttled)


def _word(fault: Fault | None) -> str:
    return "complete" if fault is None else f"fault_of_{fault}"


class LedgerMetrics(Collector):
    """What the ledger knows at the moment of the scrape; nothing where it does not answer."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def describe(self) -> Iterator[Metric]:
        """Name them without asking."""
        yield from self._families({}, {}, paused=False, speed=1.0)

    def collect(self) -> Iterator[Metric]:
        """Ask the ledger."""
        up = GaugeMetricFamily("rutter_fleet_ledger_up", "Whether the ledger answers.")
        try:
            found = list(
                self._families(
                    {str(lane): count for lane, count in self._ledger.due().items()},
                    {str(lane): seconds for lane, seconds in self._ledger.lag().items()},
                    paused=self._ledger.paused() is not None,
                    speed=self._ledger.speed(),
                )
            )
        except LedgerError:
            up.add_metric([], 0.0)
            yield up
            return
        up.add_metric([], 1.0)
        yield up
        yield from found

    def _families(
        self, due: dict[str, int], lag: dict[str, float], *, paused: bool, speed: float
    ) -> Iterator[Metric]:
        counts = GaugeMetricFamily(
            "rutter_fleet_due", "Connections that are due, by lane.", labels=["lane"]
        )
        for lane, count in due.items():
            counts.add_metric([lane], count)
        yield counts
        ages = GaugeMetricFamily(
            "rutter_fleet_lag_seconds",
            "For how long the oldest of a lane has been due.",
            labels=["lane"],
        )
        for lane, seconds in lag.items():
            ages.add_metric([lane], seconds)
        yield ages
        stands = GaugeMetricFamily("rutter_fleet_paused", "Whether claiming is paused.")
        stands.add_metric([], float(paused))
        yield stands
        pace = GaugeMetricFamily("rutter_fleet_speed", "The factor by which 429s slow the fleet.")
        pace.add_metric([], speed)
        yield pace


def serve_metrics(
    registry: CollectorRegistry, port: int, host: str
) -> tuple[ThreadingHTTPServer, threading.Thread]:
    """Serve ``/metrics`` on a port, in a thread.

    Raises:
        ConfigError: when the address cannot be listened on.
    """
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise ConfigError(f"Metrics cannot listen on {host}:{port}: {error.strerror}.") from None
    return server, thread  # type: ignore[return-value]
