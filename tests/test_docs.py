"""The documentation says what the code does: its generated parts are up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "build_docs.py"), *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_generated_parts_are_up_to_date() -> None:
    result = build("--check")
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_setting_and_stream_is_in_the_readme() -> None:
    from tap_rutter.settings import JSONSCHEMA
    from tap_rutter.streams import STREAMS, name_of

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in JSONSCHEMA["properties"] if f"| `{name}` |" not in readme]
    missing += [name_of(stream) for stream in STREAMS if f"| `{name_of(stream)}` |" not in readme]
    assert not missing
