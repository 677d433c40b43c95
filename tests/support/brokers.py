"""The brokers that this machine has; tests of one that does not answer are skipped."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest

BROKERS: Mapping[str, str] = {
    "RabbitMQ": os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//"),
    "Redis": os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/5"),
}


def answers(url: str) -> bool:
    """Whether somebody listens there."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1):
            return True
    except OSError:
        return False


def broker(name: str) -> str:
    """A broker's address; the calling test is skipped where it does not answer."""
    url = BROKERS[name]
    if not answers(url):
        pytest.skip(f"{name} does not answer at {urlsplit(url).hostname}:{urlsplit(url).port}")
    return url
