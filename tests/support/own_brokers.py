"""Brokers of a test's own: they are killed as SIGKILL does it, and come back with nothing kept."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection, Exchange, Queue

from support.harm import free_port
from tap_rutter.demo.fleet_scene import until
from tap_rutter.fleet.model import Lane
from tap_rutter.fleet.work.doorbells import queue_of

PASSWORD = "a-password-of-the-broker"
_USER = "fleet"
_START_SECONDS = 60
_BODY = re.compile(r'(?<="body": ")[^"]+')
"""What Celery's messages hold, as Redis is told of it: in base64."""
_KEPT = "kept"
"""The folder, in the broker's own, that takes what it writes."""


class OwnBroker(ABC):
    """A broker on a port and in a folder of its own; all that it was told is remembered."""

    url: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.bells: list[str] = []
        """The messages that were sent, in plain text."""
        self._written = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._ears: list[threading.Thread] = []
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start it, with nothing of what it had; the test is skipped where that is not possible."""
        shutil.rmtree(self.folder / _KEPT, ignore_errors=True)
        (self.folder / _KEPT).mkdir()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.folder,
                env={**os.environ, **self._variables()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            until(self._is_there, _START_SECONDS, f"{type(self).__name__} did not start")
        except RuntimeError as error:
            if self._written:
                raise  # it had run before
            self.stop()
            pytest.skip(str(error))
        ear = threading.Thread(target=self._listen, daemon=True)
        self._ears.append(ear)
        ear.start()

    def kill(self) -> None:
        """End it at once. What it has written is kept to be looked at, and lost to it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            for file in sorted((self.folder / _KEPT).rglob("*")):
                if file.is_file():
                    self._written += file.read_bytes().decode("latin-1")
            self._written += (self.folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        """End it for good, with what belongs to it."""
        self.kill()
        for ear in self._ears:
            ear.join(timeout=10)

    def written(self) -> str:
        """What was in the files that it has written, whenever it was killed."""
        return self._written

    @abstractmethod
    def ears(self) -> int:
        """How many workers listen to it now, in every lane."""

    def _is_there(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"{type(self).__name__} ended at once")
        return self._answers()

    @abstractmethod
    def _command(self) -> list[str]: ...

    def _variables(self) -> dict[str, str]:
        return {}

    @abstractmethod
    def _answers(self) -> bool: ...

    @abstractmethod
    def _listen(self) -> None:
        """Remember the messages until it is killed."""


class Redis(OwnBroker):
    """Redis, which writes down whatever it is told."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._program = _program("redis-server")
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def ears(self) -> int:
        with redis.Redis.from_url(self.url) as client:
            return sum(entry["cmd"] == "brpop" for entry in client.client_list())

    def _command(self) -> list[str]:
        settings = self.folder / "redis.conf"
        settings.write_text(
            f"port {self.port}\nbind 127.0.0.1\nrequirepass {PASSWORD}\n"
            f'dir {self.folder / _KEPT}\nappendonly yes\nappendfsync always\nsave ""\n',
            encoding="utf-8",
        )
        return [self._program, str(settings)]

    def _answers(self) -> bool:
        with suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
            return bool(client.ping())
        return False

    def _listen(self) -> None:
        with (
            suppress(redis.RedisError, OSError, ValueError),  # it is killed
            redis.Redis.from_url(self.url, socket_timeout=None) as client,  # it may be told nothing
            client.monitor() as monitor,
        ):
            for told in monitor.listen():
                command = str(told["command"])
                if command.startswith("LPUSH"):
                    self.bells.append(_BODY.sub(_decoded, command))


class RabbitMQ(OwnBroker):
    """RabbitMQ with a node, a cookie and an epmd of its own. It shows each message to the test."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._program = _program("rabbitmq-server")
        # Debian's is a wrapper that changes the user, and with it whom the folder belongs to.
        plain = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
        if plain.exists():
            self._program = str(plain)
        self.url = f"amqp://{_USER}:{PASSWORD}@127.0.0.1:{self.port}//"
        self._names_port, self._node_port = free_port(), free_port()
        self._names: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._names is None:
            # Else Erlang starts one that outlives the test, or asks the machine's.
            self._names = subprocess.Popen(
                [_program("epmd"), "-port", str(self._names_port), "-address", "127.0.0.1"]
            )
        super().start()

    def stop(self) -> None:
        super().stop()
        if self._names is not None:
            self._names.kill()
            self._names.wait()
            self._names = None

    def ears(self) -> int:
        with self._connection() as connection:
            channel = connection.channel()
            found = []
            for lane in Lane:
                # One that is not there closes the channel: nobody listens yet.
                with suppress(connection.channel_errors):
                    found.append(channel.queue_declare(queue_of(lane), passive=True).consumer_count)
        return min(found) if len(found) == len(Lane) else 0

    def _command(self) -> list[str]:
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"default_user = {_USER}\ndefault_pass = {PASSWORD}\n",
            encoding="utf-8",
        )
        # A copy of each message that anybody publishes goes to an exchange of its own.
        (self.folder / "advanced.config").write_text('[{rabbit, [{trace_vhosts, [<<"/">>]}]}].\n')
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / "environment").touch()
        return [self._program]

    def _variables(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"fleet-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_SERVER_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "environment"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / _KEPT / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / _KEPT / "log"),
            # Erlang itself in this process, so that it is what is killed.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
        }

    def _connection(self) -> Any:
        return Connection(self.url, connect_timeout=2)

    def _answers(self) -> bool:
        with suppress(Exception), self._connection() as connection:
            connection.connect()
            return True
        return False

    def _listen(self) -> None:
        with suppress(Exception), self._connection() as connection:  # it is killed
            source = Exchange("amq.rabbitmq.trace", "topic", passive=True)
            copies = Queue("copies", source, routing_key="publish.#", durable=True)
            with connection.Consumer(copies, callbacks=[self._heard], accept=None):
                while True:
                    connection.drain_events()

    def _heard(self, body: Any, message: Any) -> None:
        message.ack()
        self.bells.append(f"{body} {message.headers}")


def _decoded(found: re.Match[str]) -> str:
    return base64.b64decode(found[0]).decode()


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} to be killed")
    return found


@contextmanager
def own_broker(kind: type[OwnBroker], folder: Path) -> Iterator[OwnBroker]:
    """A broker that does not run yet; it and its files are gone at the end."""
    broker = kind(folder)
    try:
        yield broker
    finally:
        broker.stop()
        shutil.rmtree(folder)
