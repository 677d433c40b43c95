"""Only GET, only to the configured host, over TLS that proves itself; no secret for stream maps."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.in_process import Run, sync
from support.singer import run_tap, settings

from tap_rutter.simulator import Connection, Simulator, World, standard_world
from tap_rutter.simulator.request import Request
from tap_rutter.streams import OPTIONAL

pytestmark = pytest.mark.usefixtures("no_proxies")

BILLS, PATH = "accounting_bills", "/accounting/bills"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    world = World(41, history_days=30)
    world.add_connection("QUICKBOOKS", counts={PATH: 3})
    with Simulator(world) as running:
        yield running


class Witness:
    """A server that notes what it is sent, and gives everyone the same answer."""

    def __init__(self, body: str = "{}") -> None:
        self.heads: list[str] = []
        self._answer = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Witness:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client:
                    self.heads.append(client.recv(65_536).decode("latin-1"))
                    client.sendall(self._answer)


# ---- only GET


def test_only_get_is_sent_and_only_to_paths_of_the_api() -> None:
    with Simulator(standard_world(scale=0.02)) as simulator:
        run = run_tap(config=settings(simulator, optional_streams=list(OPTIONAL)))
        assert run.code == 0, run.stderr
        assert {entry.method for entry in simulator.requests} == {"GET"}
        headers = {name for entry in simulator.requests for name in entry.headers}
    assert headers == {
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "connection",
        "x-rutter-version",
    }


# ---- only the configured host


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", [PATH, "/connections"])
def test_a_redirect_is_not_followed(simulator: Simulator, path: str, status: int) -> None:
    with Witness() as witness:
        simulator.faults.add(
            "respond",
            path=path,
            status=status,
            headers={"Location": f"{witness.url}/versioned{path}"},
            times=None,
        )
        run = sync(simulator, BILLS)
    assert run.code == 1
    assert f"{path} answered {status}, a redirect, which is not followed: check api_url" in run.log
    assert witness.heads == []
    assert len(simulator.requests.to(path)) == 1


CURSORS = [
    "http://evil.example/",
    "//evil.example/orders",
    "&access_token=another",
    "x&limit=1#fragment",
    "\r\nX-Evil: yes\r\n\r\nGET / HTTP/1.1",
    "../../connections",
    "..%2f..%2fconnections",
    "%00%0d%0aX-Evil: yes",
    "ünï-çødé ✓",
    "a b+c",
    "?",
]


@pytest.mark.parametrize("cursor", CURSORS)
def test_a_cursor_is_a_value_and_nothing_else(
    simulator: Simulator, ledger: Connection, cursor: str
) -> None:
    page = json.dumps({"bills": [{"id": "1"}], "next_cursor": cursor})
    last = json.dumps({"bills": [{"id": "2"}]})
    simulator.faults.add("respond", path=PATH, status=200, body=page, nth=1)
    simulator.faults.add("respond", path=PATH, status=200, body=last)
    asked: list[Request] = []
    simulator.before_request = asked.append
    run = sync(simulator, BILLS)
    assert run.code == 0, run.log
    assert run.ids(BILLS, ledger.id) == {"1", "2"}
    first, second = (request for request in asked if request.path == PATH)
    assert [pair for pair in second.pairs if pair not in first.pairs] == [("cursor", cursor)]
    assert len(second.pairs) == len(first.pairs) + 1
    assert second.headers == first.headers
    assert [request.path for request in asked if request.path != PATH] == [
        "/connections",
        "/connections/status",
        "/connections/access_token",
    ]


@pytest.mark.parametrize("job", ["../connections", "a/b", "?x=1", "..", "", 7, None, "é"])
def test_a_job_that_would_lead_elsewhere_is_refused(
    simulator: Simulator, ledger: Connection, job: object
) -> None:
    stream, path = "accounting_balance_sheets", "/accounting/balance_sheets"
    with Witness() as witness:
        told = {"id": job, "response_url": f"{witness.url}/jobs/1", "status": "pending"}
        body = json.dumps({"async_response": told})
        simulator.faults.add("respond", path=path, status=200, body=body, times=None)
        run = sync(simulator, stream)
    assert run.report(stream, ledger.id)["reason"] == "bad_response"
    assert witness.heads == []
    asked = {entry.path for entry in simulator.requests}
    assert asked == {"/connections", "/connections/status", "/connections/access_token", path}


@pytest.mark.parametrize("identity", ["..", ".", "../../connections", "a/b?c#d", "%2e%2e"])
def test_the_id_of_a_parent_stays_one_part_of_the_path(simulator: Simulator, identity: str) -> None:
    stream = "accounting_bill_attachments"
    page = json.dumps({"bills": [{"id": identity}]})
    simulator.faults.add("respond", path=PATH, status=200, body=page)
    simulator.faults.add("respond", path="*/attachments", status=200, body='{"attachments":[]}')
    sync(simulator, stream, optional_streams=[stream])
    asked = {entry.path for entry in simulator.requests} - {
        "/connections",
        "/connections/status",
        "/connections/access_token",
        PATH,
    }
    # As the server has it after unquoting; an id of dots alone is not asked for.
    assert asked == ({f"{PATH}/{identity}/attachments"} if identity.strip(".") else set())


# ---- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine that nobody has signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def pass_both_ways(inner: socket.socket, outer: socket.socket) -> None:
    """Until both sides have ended."""

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    there = threading.Thread(target=pass_on, args=(inner, outer), daemon=True)
    there.start()
    pass_on(outer, inner)
    there.join()


@contextlib.contextmanager
def behind_tls(simulator: Simulator, certificate: tuple[Path, Path]) -> Iterator[str]:
    """The simulator's address with TLS in front of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    port = int(simulator.root_url.rsplit(":", 1)[1])

    def serve(client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            context.wrap_socket(client, server_side=True) as inner,
            socket.create_connection(("127.0.0.1", port)) as outer,
        ):
            pass_both_ways(inner, outer)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/versioned"
        listener.shutdown(socket.SHUT_RDWR)


def test_a_server_that_does_not_prove_itself_is_refused_at_once(
    simulator: Simulator, certificate: tuple[Path, Path]
) -> None:
    with behind_tls(simulator, certificate) as address:
        run = sync(simulator, BILLS, api_url=address)
    assert run.code == 1
    assert run.waits == ()
    assert len(simulator.requests) == 0
    assert (
        "The connections cannot be listed: /connections cannot be requested: the server's TLS"
        " certificate cannot be verified (self-signed certificate)."
    ) in run.log
    assert "REQUESTS_CA_BUNDLE" in run.log


def test_a_bundle_of_certificates_is_honoured(
    simulator: Simulator, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    with behind_tls(simulator, certificate) as address:
        run = sync(simulator, BILLS, api_url=address)
    assert run.code == 0, run.log
    assert len(run.records[BILLS]) == 3


def test_a_bundle_that_is_not_there_is_said_in_one_line(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    run = sync(simulator, BILLS, api_url="https://127.0.0.1:9/versioned")
    assert run.code == 1
    assert run.waits == ()
    assert "invalid path: /nowhere/bundle.pem" in run.log


# ---- proxies and passwords of the machine


def test_a_proxy_of_the_environment_is_used(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Witness('{"connections":[]}') as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        run = sync(simulator, BILLS, api_url="http://rutter.example/versioned")
    assert run.code == 0, run.log
    assert [head.split("\r\n")[0] for head in proxy.heads] == [
        "GET http://rutter.example/versioned/connections?status=any HTTP/1.1"
    ]


@contextlib.contextmanager
def tunnel(address: str, asked: list[str]) -> Iterator[str]:
    """A proxy that leads to an address whatever it is asked for, and notes that."""
    host, port = address.split("/")[2].rsplit(":", 1)

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection((host, int(port))) as outer:
            asked.append(client.recv(65_536).decode("latin-1").split("\r\n")[0])
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            pass_both_ways(client, outer)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_all_requests_of_a_thread_go_through_one_tunnel_of_a_proxy(
    simulator: Simulator, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    asked: list[str] = []
    with behind_tls(simulator, certificate) as address, tunnel(address, asked) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        run = sync(simulator, BILLS, api_url=address, concurrency=1)
    assert run.code == 0, run.log
    assert len(run.records[BILLS]) == 3
    assert len(simulator.requests) == 4
    # The thread that lists the connections has one, and the worker another.
    wanted = f"CONNECT {address.split('/')[2]}"
    assert [head.rpartition(" ")[0] for head in asked] == [wanted] * 2


def test_hosts_that_need_no_proxy_get_none(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Witness() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        run = sync(simulator, BILLS)
    assert run.code == 0, run.log
    assert proxy.heads == []


def test_a_netrc_file_does_not_take_the_place_of_the_credentials(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".netrc"
    file.write_text("machine 127.0.0.1 login somebody password else\n")
    file.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(file))
    run = sync(simulator, BILLS)
    assert run.code == 0, run.log
    assert len(run.records[BILLS]) == 3


# ---- stream maps


def mapped(simulator: Simulator, expression: str) -> tuple[Run, list[Any]]:
    """A run whose bills have a column that is made by an expression."""
    maps = {BILLS: {"id": "id", "connection_id": "connection_id", "made": expression}}
    run = sync(simulator, BILLS, stream_maps=maps, stream_map_config={"mine": "a value of my own"})
    return run, [record["made"] for record in run.records[BILLS]]


@pytest.mark.parametrize(
    "expression", ["config", "str(config)", "config.get('client_secret')", "f'{config}'", "str(_)"]
)
def test_a_stream_map_sees_its_own_configuration_only(
    simulator: Simulator, ledger: Connection, expression: str
) -> None:
    run, made = mapped(simulator, expression)
    assert run.code == 0, run.log
    assert len(made) == 3
    told = json.dumps(made, default=str)
    assert "_" in expression or "a value of my own" in told or set(made) == {None}
    for secret in (simulator.client_secret, simulator.client_id, ledger.access_token):
        assert secret not in run.output
        assert secret not in run.log


@pytest.mark.parametrize(
    "expression",
    [
        "config['client_secret']",
        "str(self)",
        "str(os.environ)",
        "open('/proc/self/environ').read()",
        "memo.__class__.__mro__",
        "str(locals())",
        "__import__('os').environ",
    ],
)
def test_a_stream_map_that_reaches_further_fails_its_stream(
    simulator: Simulator, ledger: Connection, expression: str
) -> None:
    run, made = mapped(simulator, expression)
    assert run.code == 1
    assert made == []
    assert run.report(BILLS, ledger.id)["status"] == "failed"
    for secret in (simulator.client_secret, ledger.access_token):
        assert secret not in run.output
        assert secret not in run.log
