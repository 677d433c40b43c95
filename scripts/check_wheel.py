"""Check that an installed wheel works alone: without extras, source tree and configuration.

::

    python scripts/check_wheel.py path/to/venv/bin [empty folder to run in]
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Run the commands of the wheel, and say which of them failed."""
    commands = Path(argv[0]).resolve()
    folder = Path(argv[1]) if len(argv) > 1 else Path.cwd()
    python = str(commands / "python")

    def output(*command: str) -> str:
        return subprocess.run(
            command, cwd=folder, check=True, text=True, stdout=subprocess.PIPE
        ).stdout

    about = json.loads(output(str(commands / "tap-rutter"), "--about", "--format=json"))
    if "client_secret" not in about["settings"]["properties"]:
        return _failed("--about names no settings")
    catalog = json.loads(output(str(commands / "tap-rutter"), "--discover"))
    if len(catalog["streams"]) < 40:
        return _failed(f"--discover finds only {len(catalog['streams'])} streams")
    if "simulate" not in output(str(commands / "rutterctl"), "--help"):
        return _failed("rutterctl --help lists no commands")
    shipped = output(
        python,
        "-c",
        "from importlib.resources import files\n"
        "import tap_rutter\n"
        "for name in ('py.typed', 'demo/meltano.yml', 'openapi/2024-08-31.json'):\n"
        "    print(files(tap_rutter).joinpath(name).is_file(), name)",
    )
    if "False" in shipped:
        return _failed(f"files are missing:\n{shipped}")
    unwanted = [
        name
        for name in output(
            python,
            "-c",
            "from importlib.metadata import files\nprint(*files('tap-rutter'), sep='\\n')",
        ).split()
        if name.startswith(("scripts/", "tests/", "docs/"))
    ]
    if unwanted:
        return _failed(f"files are there that only the repository needs: {', '.join(unwanted)}")
    demo = subprocess.run(
        [commands / "rutterctl", "demo"], cwd=folder, text=True, capture_output=True, check=False
    )
    if demo.returncode != 1 or 'pip install "tap-rutter[demo]"' not in demo.stderr:
        return _failed(f"rutterctl demo does not name its extra:\n{demo.stderr}")
    print(f"The wheel works alone: {len(catalog['streams'])} streams, version {about['version']}")
    return 0


def _failed(why: str) -> int:
    print(f"The wheel does not work alone: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
