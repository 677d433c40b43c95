"""What tests of several rooms share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tap_rutter.demo import database

# How long an example takes says nothing about the code: the machine may be busy.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

# So that what they assert is shown with its values, as in a test.
pytest.register_assert_rewrite("support", "soak")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[database.Database]:
    """One embedded PostgreSQL for the whole test run; each test takes schemas of its own.

    With TEST_POSTGRES_DATA: the one that already runs on this data folder.
    """
    if data := os.environ.get("TEST_POSTGRES_DATA"):
        yield database.Database(database.pgserver().get_server(Path(data), cleanup_mode=None))
        return
    with database.running(tmp_path_factory.mktemp("postgres") / "data") as server:
        server.prepare()
        yield server


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without whatever proxies and certificates this machine is set up with."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _own_workers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of what a certain number of workers asks for, and in which order, keep their number."""
    if request.node.get_closest_marker("own_workers"):
        monkeypatch.setattr("support.singer.WORKERS", None)


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """Whatever a tap in this process does to signals ends with the test."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
