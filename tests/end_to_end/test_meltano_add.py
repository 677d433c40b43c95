"""The definitions that the repository ships, added to a project of one's own: `meltano add`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.singer import environment, run

from tap_rutter.settings_schema import JSONSCHEMA

pytestmark = pytest.mark.longer

ROOT = Path(__file__).resolve().parents[2]
TAP = ROOT / "plugins" / "extractors" / "tap-rutter.yml"
LOADER = ROOT / "plugins" / "loaders" / "target-postgres.yml"
_NOBODY = "http://127.0.0.1:9"


def _definition() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(TAP.read_text(encoding="utf-8"))
    return found


def _meltano(project: Path, *arguments: str, hub: str = _NOBODY, **variables: str) -> str:
    variables = {
        "MELTANO_HUB_URL": hub,
        "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
        "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
        "XDG_CACHE_HOME": str(project / ".cache"),
        **variables,
    }
    ended = run(["meltano", *arguments], env=environment(**variables), cwd=project)
    assert ended.code == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Path:
    (tmp_path / "meltano.yml").write_text("default_environment: dev\nenvironments: [{name: dev}]\n")
    return tmp_path


def _is_as_the_code_says(project: Path) -> None:
    (tap,) = yaml.safe_load((project / "meltano.yml").read_text())["plugins"]["extractors"]
    assert tap["name"] == "tap-rutter"
    assert tap["pip_url"] == "tap-rutter"  # and not a path of the repository's
    config = json.loads(
        _meltano(
            project,
            "invoke",
            "--no-install",
            "--dump=config",
            "tap-rutter",
            TAP_RUTTER_CLIENT_ID="an id",
            TAP_RUTTER_CLIENT_SECRET="a secret",
        )
    )
    defaults = {
        name: schema["default"]
        for name, schema in JSONSCHEMA["properties"].items()
        if schema.get("default") is not None and name != "user_agent"
    }
    given = {"client_id": "an id", "client_secret": "a secret"}
    assert {name: config[name] for name in [*defaults, *given]} == {**defaults, **given}


@pytest.mark.own_workers
def test_the_definitions_are_added_from_their_files(project: Path) -> None:
    _meltano(project, "add", "--no-install", "--from-ref", str(TAP), "tap-rutter")
    _is_as_the_code_says(project)
    _meltano(project, "add", "--no-install", "--from-ref", str(LOADER), "target-postgres")
    loading = json.loads(
        _meltano(project, "invoke", "--no-install", "--dump=config", "target-postgres")
    )
    assert loading["default_target_schema"] == "rutter"
    assert loading["validate_records"] is False
    assert loading["use_copy"] is False  # COPY would round amounts to 15 digits


@pytest.mark.own_workers
def test_the_definition_is_added_from_a_hub_that_has_it(project: Path) -> None:
    with _hub() as hub:
        _meltano(project, "add", "--no-install", "tap-rutter", hub=hub)
    _is_as_the_code_says(project)


class _Answers(BaseHTTPRequestHandler):
    """What Meltano Hub's API answers, if it lists the tap alone."""

    def do_GET(self) -> None:
        definition = _definition()
        name, variant = definition["name"], definition["variant"]
        folder = "/meltano/api/v1/plugins/extractors"
        ref = f"http://{self.headers['Host']}{folder}/{name}--{variant}"
        known: dict[str, Any] = {
            f"{folder}/index": {
                name: {
                    "logo_url": None,
                    "default_variant": variant,
                    "variants": {variant: {"ref": ref}},
                }
            },
            f"{folder}/{name}--{variant}": definition,
        }
        body = json.dumps(known.get(self.path)).encode()
        self.send_response(200 if self.path in known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _hub() -> Iterator[str]:
    """A stand-in for Meltano Hub; gives its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
