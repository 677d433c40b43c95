"""Celery carries doorbells: *look in the ledger, in this lane*. Nothing else is in a message.

A bell that is lost costs seconds, since idle slots look by themselves; one that is doubled costs a
look. So bells are acknowledged early, have no result, are not tried again, expire, and their queues
are bounded. No broker's time-out can start a second run or lose one: a bell never waits for a run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from celery import Celery, signals
from kombu import Queue

from tap_rutter.fleet.model import Lane
from tap_rutter.redact import SECRETS

logger = logging.getLogger("tap-rutter.fleet")

TASK = "rutter_fleet.look"
QUEUE_PREFIX = "rutter-fleet-"
"""SQS allows no dots."""
_EXPIRES = 30
"""Seconds after which a bell is worth nothing: by then every idle slot has looked."""
_MOST_BELLS = 100
_SAY_EVERY = 60.0
_CONNECT_SECONDS = 2.0
_TICK_SECONDS = 0.5
_POLL_SECONDS = 5
_SQS_KEEPS = 60
"""Seconds for which SQS keeps a bell that nobody takes: the shortest that it allows."""


def queue_of(lane: Lane) -> str:
    """The queue of a lane's bells."""
    return f"{QUEUE_PREFIX}{lane}"


def make_app(broker_url: str) -> Celery:
    """The Celery application: a task, three queues.

    Args:
        broker_url: RabbitMQ (``amqp://``), Redis (``redis://``) or SQS (``sqs://``). The first two
            are tried as they are, SQS against a stand-in (moto's server), not at Amazon.
    """
    SECRETS.add(broker_url)
    app = Celery("rutter-fleet", broker=broker_url, set_as_current=False)
    arguments: dict[str, Any] = {}
    if broker_url.startswith(("amqp", "pyamqp")):
        arguments = {
            "x-max-length": _MOST_BELLS,
            "x-message-ttl": _EXPIRES * 1000,
            "x-expires": 24 * 3600 * 1000,
        }
    app.conf.update(
        task_queues=[
            Queue(queue_of(lane), routing_key=queue_of(lane), queue_arguments=arguments)
            for lane in Lane
        ],
        task_default_queue=queue_of(Lane.FRESH),
        task_create_missing_queues=False,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        result_backend=None,
        task_acks_late=False,
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_pool="solo",
        worker_concurrency=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=_CONNECT_SECONDS,
        broker_transport_options=_options(broker_url),
        broker_heartbeat=30,
    )
    return app


def _options(broker_url: str) -> dict[str, Any]:
    if broker_url.startswith(("redis", "rediss")):
        return {"socket_connect_timeout": _CONNECT_SECONDS, "socket_timeout": 10.0}
    if broker_url.startswith("sqs"):
        return {
            "polling_interval": 1,
            "wait_time_seconds": _POLL_SECONDS,
            "visibility_timeout": 60,
            # SQS has no bound on a queue's length, and no time of a message's own.
            "sqs-creation-attributes": {"MessageRetentionPeriod": str(_SQS_KEEPS)},
            # Else an address that does not answer is tried for minutes.
            "client-config": {
                "connect_timeout": _CONNECT_SECONDS,
                "read_timeout": 2 * _POLL_SECONDS,
                "retries": {"total_max_attempts": 1},
            },
        }
    return {}


class Ringer:
    """Publishes bells; a broker that does not answer costs seconds, and one line a minute."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._said_at = float("-inf")

    def __call__(self, lanes: Sequence[Lane]) -> None:
        """Ring once for each lane."""
        for lane in lanes:
            try:
                self._ring(lane)
            except Exception as error:  # each broker's library has errors of its own
                if time.monotonic() - self._said_at > _SAY_EVERY:
                    self._said_at = time.monotonic()
                    logger.warning(
                        "The broker takes no doorbells (%s): workers look in the ledger by"
                        " themselves.",
                        type(error).__name__,
                    )
                return

    def _ring(self, lane: Lane) -> None:
        # Bells are rare, and a connection that was kept since the last one may have ended.
        with self._app.connection_for_write(connect_timeout=_CONNECT_SECONDS) as connection:
            self._app.send_task(
                TASK,
                args=[str(lane)],
                queue=queue_of(lane),
                expires=_EXPIRES,
                connection=connection,
                retry=False,
                ignore_result=True,
            )


def answer_bells(app: Celery, wake: Callable[[Sequence[Lane]], None]) -> None:
    """Define the task: whatever the message says, it only wakes slots."""

    def look(lane: str) -> None:
        try:
            wake([Lane(lane)])
        except ValueError:
            wake(list(Lane))  # of another version of this program

    app.task(name=TASK, ignore_result=True)(look)


def run_worker(app: Celery, start: Callable[[], None], stop: Callable[[], None]) -> int:
    """Consume bells until a signal; returns the exit code.

    Args:
        app: with its task defined.
        start: begins to work; called before the broker is asked for anything, so that a broker that
            does not answer keeps nobody from working.
        stop: ends the work; called when a signal has ended the consumer.
    """
    connect_engine(start, stop)
    try:
        app.worker_main(
            [
                "--quiet",
                "worker",
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
                "-l",
                "ERROR",
            ]
        )
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def connect_engine(start: Callable[[], None], stop: Callable[[], None]) -> None:
    """Have the Celery worker of this process start and stop the engine with itself."""

    def begin(**_: Any) -> None:
        start()

    def end(**_: Any) -> None:
        stop()

    def tick(sender: Any, **_: Any) -> None:
        # Celery notices a signal when its loop wakes up, and here nothing else wakes it.
        hub = getattr(sender, "hub", None) or getattr(sender.controller, "hub", None)
        if hub is not None:
            hub.call_repeatedly(_TICK_SECONDS, lambda: None)

    signals.worker_init.connect(begin, weak=False)
    signals.worker_ready.connect(tick, weak=False)
    signals.worker_shutdown.connect(end, weak=False)
