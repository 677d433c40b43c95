"""The commands of the documents: which there are, and how they are run in their order.

A fenced block of the language ``shell`` is run as it stands. Of one of the language ``console`` the
lines after ``$`` are run; the others show what one sees. A comment above a block says otherwise:

- ``<!-- not run: WHY -->``: its commands cannot be run here.
- ``<!-- run with the package index -->``: it installs packages; `make install-test` runs it.
- ``<!-- runs until it is stopped -->``: a server, which stays for the rest of the page.
- ``<!-- run by tests/… -->``: a test of its own runs it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = {"console", "shell"}
_ALIASES = {"bash", "sh", "shell-session", "zsh"}
_FENCE = re.compile(r"^( *)(```+)([\w-]*)[^\n]*\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- ((?:not run|run|runs)\b[^>]*?) -->\s*\Z")


@dataclass(frozen=True)
class Block:
    """A fenced block with commands."""

    page: str
    line: int
    commands: str
    """As bash takes them."""
    comment: str
    """What stands above it: "" if it is to be run as it is."""

    @property
    def name(self) -> str:
        """The page, and the block's first command."""
        return f"{self.page}: {self.commands.splitlines()[0]}"

    @property
    def why_not_run(self) -> str:
        """Why it is not run at all; "" for a block that is run."""
        kind, _, why = self.comment.partition(": ")
        return why if kind == "not run" else ""

    @property
    def run_by(self) -> str:
        """The test that runs it, if that is not the test of all pages."""
        found = re.match(r"run by (tests/\S+)", self.comment)
        return found[1] if found else ""

    @property
    def is_make(self) -> bool:
        """Whether it is for the repository's Makefile alone, whose targets are tried elsewhere."""
        return all(line.startswith("make ") for line in self.commands.splitlines())

    @property
    def needs_index(self) -> bool:
        return self.comment == "run with the package index"

    @property
    def stays(self) -> bool:
        return self.comment == "runs until it is stopped"


def pages() -> list[Path]:
    """The README, the other pages at the top, and docs/."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of commands of a page, in their order.

    Raises:
        ValueError: for a language or comment that no one would act upon.
    """
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(ROOT).as_posix()
    for match in _FENCE.finditer(text):
        indent, language, body = len(match[1]), match[3], match[4]
        line = text.count("\n", 0, match.start()) + 1
        if language in _ALIASES:
            raise ValueError(f"{name}:{line}: commands are in the language shell or console")
        if language not in LANGUAGES:
            continue
        body = "\n".join(each[indent:] for each in body.splitlines())
        above = _COMMENT.search(text, 0, match.start())
        block = Block(
            page=name,
            line=line,
            commands=body if language == "shell" else "\n".join(_typed(body)),
            comment=above[1] if above else "",
        )
        known = block.why_not_run or block.run_by or block.needs_index or block.stays
        if block.comment and not known:
            raise ValueError(f"{name}:{line}: not understood: {block.comment}")
        yield block


def _typed(session: str) -> Iterator[str]:
    """The commands that were typed in a session: what follows ``$``, up to its end."""
    command = ""
    for line in session.splitlines():
        if command:
            command += f"\n{line}"
        elif line.startswith("$ "):
            command = line[2:]
        if command and _is_complete(command):
            yield command
            command = ""


def _is_complete(command: str) -> bool:
    """Whether a command does not go on in the next line."""
    if here_document := re.search(r"<<-?\s*'?(\w+)'?", command):
        return command.splitlines()[-1] == here_document[1]
    try:
        shlex.split(command, comments=True)
    except ValueError:  # a quotation is open
        return False
    return not command.endswith("\\")


_PRELUDE = """\
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
curl() { command curl --fail --silent --show-error "$@"; }  # a refusal is a failure
wait_for_server() {
  for _ in $(seq 300); do grep -q http:// server.log && return 0; sleep 0.2; done
  cat server.log >&2
  return 1
}"""


def script(found: list[Block], stand_ins: Mapping[str, str]) -> str:
    """A bash script that runs the blocks in their order, and stops at the first that fails.

    ``stand_ins`` take the places of what a reader puts in: names in capitals, addresses, ports.
    """
    lines = [_PRELUDE]
    for block in found:
        commands = block.commands
        for shown, real in stand_ins.items():
            # A name in capitals is not meant where it is part of a longer one.
            pattern = rf"\b{shown}\b" if shown.isidentifier() else re.escape(shown)
            commands = real.join(re.split(pattern, commands))
        lines.append(f"echo {shlex.quote(f'--- {block.page}:{block.line}')} >&2")
        if block.stays:
            # What it prints is in a file, so that no pipe waits for its end.
            lines += [f"{commands.strip()} > server.log 2>&1 &", "wait_for_server"]
        else:
            lines.append(commands)
    return "\n".join(lines) + "\n"
