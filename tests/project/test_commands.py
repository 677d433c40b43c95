"""What the test of the documents takes for commands, and what it makes of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import commands


@pytest.fixture(name="page")
def _page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(commands, "ROOT", tmp_path)
    return tmp_path / "page.md"


def _bash(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)


def test_of_a_session_only_what_was_typed_is_run(page: Path) -> None:
    page.write_text(
        "1. In a list:\n\n"
        "   ```console\n"
        "   $ cat > file <<'END'\n"
        "   $ not a command, it's text\n"
        "   END\n"
        "   what one sees\n"
        "   $ echo one \\\n"
        "       two   # it's a comment\n"
        "   one two\n"
        "   $ echo 'over\n"
        "     lines'\n"
        "   over\n"
        "   ```\n\n"
        "```text\n$ no command\n```\n"
    )
    (block,) = commands.blocks(page)
    assert block.commands.splitlines() == [
        "cat > file <<'END'",
        "$ not a command, it's text",
        "END",
        "echo one \\",
        "    two   # it's a comment",
        "echo 'over",
        "  lines'",
    ]
    assert (block.name, block.line) == ("page.md: cat > file <<'END'", 3)


def test_a_block_is_run_unless_a_comment_says_otherwise(page: Path) -> None:
    fence = "```shell\ntrue\n```\n"
    page.write_text(
        f"<!-- not run: it would publish -->\n\n{fence}\nText.\n\n{fence}"
        f"<!-- run by tests/x.py -->\n{fence}<!-- run with the package index -->\n{fence}"
    )
    first, second, third, fourth = commands.blocks(page)
    assert first.why_not_run == "it would publish"
    assert second.comment == ""
    assert third.run_by == "tests/x.py"
    assert fourth.needs_index


@pytest.mark.parametrize(
    "text", ["```bash\ntrue\n```\n", "<!-- not run -->\n\n```shell\ntrue\n```\n"]
)
def test_what_no_one_would_act_upon_is_refused(page: Path, text: str) -> None:
    page.write_text(text)
    with pytest.raises(ValueError, match=r"page\.md:\d:"):
        list(commands.blocks(page))


def test_a_script_stops_at_the_first_block_that_fails_and_names_it(page: Path) -> None:
    page.write_text(
        "```shell\nexport A=NAME ORDER_BY=x\n```\n```shell\necho $A\n```\n"
        "```shell\nfalse\n```\n```shell\necho never\n```\n"
    )
    done = _bash(commands.script(list(commands.blocks(page)), {"NAME": "real", "ORDER": "o"}))
    assert done.returncode == 1
    assert done.stdout == "real\n"
    assert done.stderr.splitlines()[-1] == "--- page.md:7"
