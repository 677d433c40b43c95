"""Doorbells over real brokers: they wake slots, hold a lane alone, and may be lost."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kombu import Connection
from support.bells import consumer, line_of
from support.brokers import BROKERS, broker
from support.threads import until

from tap_rutter.fleet.model import Lane
from tap_rutter.fleet.work.doorbells import Ringer, make_app


@contextmanager
def cleaned(url: str, prefix: str) -> Iterator[None]:
    try:
        yield
    finally:
        with Connection(url) as connection:
            channel = connection.channel()
            for lane in Lane:
                channel.queue_delete(f"{prefix}{lane}")


@pytest.mark.parametrize("name", sorted(BROKERS))
def test_a_bell_wakes_slots_of_its_lane(name: str, prefix: str) -> None:
    url = broker(name)
    with cleaned(url, prefix), consumer(url, prefix) as process:
        assert line_of(process) == "started"
        Ringer(make_app(url))([Lane.SWEEP, Lane.FRESH])
        assert {line_of(process), line_of(process)} == {"woke sweep", "woke fresh"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stdout is not None
        assert process.stdout.read().endswith("stopped\n")


@pytest.mark.parametrize("name", sorted(BROKERS))
def test_a_message_holds_a_lane_and_nothing_else(name: str, prefix: str) -> None:
    url = broker(name)
    with cleaned(url, prefix):
        app = make_app(url)
        Ringer(app)([Lane.BULK])
        with Connection(url) as connection:
            queue = app.amqp.queues[f"{prefix}bulk"](connection.channel())
            found: list[Any] = []

            def took() -> bool:
                found.append(queue.get(no_ack=True))
                return found[-1] is not None

            until(took)
    arguments, named, _ = json.loads(found[-1].body)
    assert (arguments, named) == (["bulk"], {})


def test_rabbitmq_keeps_no_more_than_so_many_bells(prefix: str) -> None:
    url = broker("RabbitMQ")
    with cleaned(url, prefix):
        app = make_app(url)
        ring = Ringer(app)
        for _ in range(150):
            ring([Lane.FRESH])
        with Connection(url) as connection:
            queue = app.amqp.queues[f"{prefix}fresh"](connection.channel())
            until(lambda: queue.queue_declare(passive=True).message_count == 100)


@pytest.mark.longer
def test_a_dead_broker_stops_neither_the_ringer_nor_the_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for url in ("amqp://me:secret@127.0.0.1:9//", "redis://:secret@127.0.0.1:9/0"):
        began = time.monotonic()
        ring = Ringer(make_app(url))
        ring([Lane.FRESH, Lane.SWEEP])
        ring([Lane.BULK])
        assert time.monotonic() - began < 30
        with consumer(url, "test-") as process:
            assert line_of(process) == "started", "it works although the broker is dead"
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) is not None
    said = [entry for entry in caplog.messages if "doorbells" in entry]
    assert len(said) == 2, "one line a minute for each"
    assert "secret" not in caplog.text


def test_a_worker_keeps_working_when_its_broker_goes_and_comes(prefix: str) -> None:
    url = broker("RabbitMQ")
    with cleaned(url, prefix), consumer(url, prefix) as process:
        assert line_of(process) == "started"
        ring = Ringer(make_app(url))
        ring([Lane.FRESH])
        assert line_of(process) == "woke fresh"
        # As a restart of the broker would: the connection is cut under the consumer.
        cut = subprocess.run(
            ["rabbitmqctl", "close_all_connections", "a test"], capture_output=True, check=False
        )
        if cut.returncode:
            pytest.skip("rabbitmqctl may not be used here")
        ring([Lane.BULK])
        assert line_of(process) == "woke bulk"
