"""The application of ``celery -A tap_rutter.fleet worker``."""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tap_rutter.errors import ConfigError
from tap_rutter.fleet.config import FleetConfig
from tap_rutter.fleet.runs import asked
from tap_rutter.fleet.work.doorbells import connect_engine
from tap_rutter.fleet.work.worker import Worker

if TYPE_CHECKING:
    from celery import Celery


def celery_application() -> Celery:
    """The application of ``celery -A tap_rutter.fleet worker``, with an engine in that process.

    Its configuration is the file that RUTTER_FLEET_CONFIG names, and variables.

    Raises:
        ConfigError: for what cannot be used, such as no broker.
    """
    path = os.environ.get("RUTTER_FLEET_CONFIG")
    config = FleetConfig.load(Path(path) if path else None)
    if not config.broker_url:
        raise ConfigError(
            "Setting 'broker_url' of [fleet] is missing: Celery needs a broker. Without one,"
            " start workers with: rutterctl fleet work"
        )
    stack = ExitStack()
    atexit.register(stack.close)
    worker = Worker(stack.enter_context(asked(config)))
    assert worker.app is not None
    connect_engine(worker.start, worker.stop)
    return worker.app
