"""Doorbells over Amazon SQS, as far as a stand-in for it goes: moto's server, not Amazon."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer
from support.bells import consumer, line_of

from tap_rutter.fleet.model import Lane
from tap_rutter.fleet.work.doorbells import Ringer, make_app

KEY, SECRET = "a-key-of-this-test", "a-secret-that-nobody-may-see"


@pytest.fixture(scope="module")
def sqs() -> Iterator[str]:
    """A broker's address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield f"sqs://{KEY}:{SECRET}@127.0.0.1:{server.get_host_and_port()[1]}//"
    finally:
        server.stop()


def client_of(url: str) -> Any:
    """Amazon's own library, to look at what is in the queues."""
    parts = urlsplit(url)
    return boto3.client(
        "sqs",
        region_name="us-east-1",
        endpoint_url=f"http://{parts.hostname}:{parts.port}",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )


def test_a_bell_wakes_slots_of_its_lane(sqs: str, prefix: str) -> None:
    with consumer(sqs, prefix) as process:
        assert line_of(process) == "started"
        Ringer(make_app(sqs))([Lane.SWEEP, Lane.FRESH])
        assert {line_of(process), line_of(process)} == {"woke sweep", "woke fresh"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout is not None
        assert process.stdout.read().endswith("stopped\n")


def test_a_message_holds_a_lane_and_nothing_else_and_is_not_kept(sqs: str, prefix: str) -> None:
    Ringer(make_app(sqs))([Lane.BULK])
    client = client_of(sqs)
    queue = client.get_queue_url(QueueName=f"{prefix}bulk")["QueueUrl"]
    (message,) = client.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    whole = base64.b64decode(message["Body"]).decode()
    content = json.loads(whole)
    body = json.loads(base64.b64decode(content["body"]))
    assert body[:2] == [["bulk"], {}]
    for secret in (KEY, SECRET):
        assert secret not in whole + json.dumps(body) + json.dumps(message)
    kept = client.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert kept["MessageRetentionPeriod"] == "60"


@pytest.mark.longer
def test_an_address_that_does_not_answer_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqs://{KEY}:{SECRET}@127.0.0.1:9//"
    Ringer(make_app(url))([Lane.FRESH])
    with consumer(url, "test-") as process:
        assert line_of(process) == "started", "it works although the broker is dead"
    (said,) = [entry for entry in caplog.messages if "doorbells" in entry]
    assert "by themselves" in said
    assert SECRET not in caplog.text
