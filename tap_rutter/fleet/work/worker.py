"""A worker as a process: engine, ledger, metrics, and the doorbells if there is a broker."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.ledger import Ledger
from tap_rutter.fleet.runs import read_catalog, remove_leftovers
from tap_rutter.fleet.work.engine import Engine
from tap_rutter.fleet.work.metrics import LedgerMetrics, RunMetrics, serve_metrics
from tap_rutter.fleet.work.place import TargetPlace, end_sessions_of
from tap_rutter.names import counted
from tap_rutter.redact import SECRETS

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger("tap-rutter.fleet")


class Worker:
    """Made once a process; ``start`` and ``stop`` from whoever looks after signals."""

    def __init__(self, config: FleetConfig, *, metrics_port: int = 0, host: str = "") -> None:
        """Prepare everything; the ledger is migrated when it starts.

        Args:
            config: the fleet's.
            metrics_port: 0: no metrics are served.
            host: the address that they are served on.

        Raises:
            ConfigError: for settings that cannot be used.
        """
        SECRETS.add(config.ledger_url, config.broker_url, config.target_database_url)
        config.check_target()
        if config.catalog:
            read_catalog(config.catalog)
        self._config = config
        self._metrics = (host or "127.0.0.1", metrics_port)
        self.ledger = Ledger(config.ledger_url, pool_size=config.slots + 1)
        registry = CollectorRegistry()
        registry.register(LedgerMetrics(self.ledger))
        self._registry = registry
        self.app: Celery | None = None
        ring: Callable[..., None] | None = None
        if config.broker_url:
            from tap_rutter.fleet.work import doorbells

            self.app = doorbells.make_app(config.broker_url)
            ring = doorbells.Ringer(self.app)
        self.engine = Engine(
            config,
            self.ledger,
            place=lambda: TargetPlace(config, self.ledger),
            end_sessions=partial(end_sessions_of, config=config),
            ring=ring,
            observers=[RunMetrics(registry)],
        )
        if self.app is not None:
            doorbells.answer_bells(self.app, self.engine.wake)

    def start(self) -> None:
        """Migrate the ledger, serve metrics, begin to work.

        Raises:
            LedgerError: the ledger does not answer, or is newer than this program.
            ConfigError: metrics cannot be served.
        """
        self.ledger.migrate()
        host, port = self._metrics
        if port:
            serve_metrics(self._registry, port, host)
        self.engine.start()
        logger.info(
            "Worker %s works with %s%s.",
            self.engine.name,
            counted(self._config.slots, "slot"),
            "" if self.app is not None else "; no broker: slots look in the ledger by themselves",
        )

    def stop(self) -> None:
        """End in order."""
        logger.info("Worker %s ends its runs.", self.engine.name)
        self.engine.stop()
        self.ledger.close()
        remove_leftovers(self._config.work_directory)

    def run(self) -> int:
        """Work until SIGTERM or SIGINT; returns the exit code."""
        if self.app is not None:
            from tap_rutter.fleet.work.doorbells import run_worker

            return run_worker(self.app, self.start, self.stop)
        ended = threading.Event()

        def handle(_: int, __: FrameType | None) -> None:
            ended.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, handle)
        self.start()
        ended.wait()
        self.stop()
        return 0
