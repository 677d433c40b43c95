"""Every message of the code is explained in docs/troubleshooting.md, where it is found by its text.

The page has tables whose first column holds messages, in code spans, with … for what the code fills
in. A message that is put together from parts may stand there as one, or part by part.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.messages import Message, messages, pieces, plain

PAGE = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"

_SPAN = re.compile(r"(`+) ?(.+?) ?\1(?!`)")


def explained(page: str) -> list[str]:
    """The messages in the first column of the page's tables."""
    rows = (line for line in page.splitlines() if line.startswith("| `"))
    cells = (re.split(r"(?<!\\)\|", row)[1].replace("\\|", "|") for row in rows)
    return [plain(span[2]) for cell in cells for span in _SPAN.finditer(cell)]


def unexplained(found: list[Message], page: str) -> list[str]:
    """What is missing from the page: place and text of each message."""
    patterns = "\n".join(explained(page))
    return [
        f"{message.place}: {message.text}"
        for message in found
        if not re.search(".*".join(map(re.escape, pieces(message.text))), patterns)
    ]


@pytest.fixture(scope="module", name="in_code")
def _in_code() -> list[Message]:
    return messages()


def test_every_message_of_the_code_is_on_the_page(in_code: list[Message]) -> None:
    assert len(in_code) > 350
    missing = unexplained(in_code, PAGE.read_text(encoding="utf-8"))
    assert not missing, "add to docs/troubleshooting.md:\n" + "\n".join(missing)


def test_every_message_on_the_page_is_in_the_code(in_code: list[Message]) -> None:
    texts = "\n".join(message.text for message in in_code)
    stale = [
        f"{pattern}: {piece}"
        for pattern in explained(PAGE.read_text(encoding="utf-8"))
        for piece in pieces(pattern)
        if piece not in texts
    ]
    assert not stale, "no longer in the code:\n" + "\n".join(stale)


def test_every_row_of_the_page_says_something(in_code: list[Message]) -> None:
    rows = [row for row in PAGE.read_text(encoding="utf-8").splitlines() if row.startswith("| `")]
    assert len(rows) > len(in_code) / 3
    for row in rows:
        _, message, meaning, rest = re.split(r"(?<!\\)\|", row)
        assert message.strip() and len(meaning.split()) > 1 and not rest, row


# ---- the search itself


def test_a_message_that_is_not_on_the_page_is_named_with_its_place() -> None:
    page = "| message | |\n| --- | --- |\n| `Setting '…' must be …` | meaning |\nthe ledger is old"
    found = [
        Message("settings.py:1", "Setting '…' must be one of: …."),
        Message("settings.py:2", "Setting '…' must be …."),
        Message("fleet.py:3", "the ledger is old"),  # in the text of the page only
    ]
    assert unexplained(found, page) == [
        "settings.py:1: Setting '…' must be one of: ….",
        "fleet.py:3: the ledger is old",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Setting '…' must be one of: ….",  # raised
        "Connection … is skipped from here on (…): …",  # logged
        "Failed: … of connection …: …",  # a line of the summary
        "the same cursor came twice",  # a part of a message, made by a helper
        "Due: ….",  # printed by a command
    ],
)
def test_messages_are_found_however_they_are_printed(in_code: list[Message], text: str) -> None:
    assert text in {message.text for message in in_code}
