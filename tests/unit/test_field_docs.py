"""What is told of fields, platforms and versions is about what is there, and gets to the user."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from support.versions import VERSIONS, paths, streams_of

from tap_rutter.connections.platforms import PLATFORMS
from tap_rutter.schema import field_docs
from tap_rutter.schema.document import document
from tap_rutter.schema.field_docs import FIELDS, describe, meaning
from tap_rutter.streams import OPTIONAL, STREAMS, name_of
from tap_rutter.tap import TapRutter

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = [name_of(stream) for stream in STREAMS]
TAPS = {
    version: TapRutter(
        config={
            "api_version": version,
            "optional_streams": list(OPTIONAL),
            "attachment_urls": True,  # the column that it adds is described too
        },
        validate_config=False,
    )
    for version in VERSIONS
}


def columns(stream: str) -> set[str]:
    """The columns of a stream in any version."""
    return {
        column
        for tap in TAPS.values()
        if stream in tap.streams
        for column in tap.streams[stream].schema["properties"]
    }


def inside(stream: str) -> set[str]:
    """All fields of a stream's rows in any version, at any depth."""
    found = columns(stream)
    for version in VERSIONS:
        leaf = streams_of(version).get(stream)
        if leaf is not None and leaf.component:
            node = document(version).components[leaf.component]
            found |= set(paths(version, node, seen=(leaf.component,)))
    return found


# ---- what fields mean


def test_what_is_described_by_name_is_there() -> None:
    known = {column for stream in NAMES for column in columns(stream)}
    assert set(FIELDS) <= known


@pytest.mark.parametrize("stream", sorted(field_docs._STREAMS))
def test_what_is_described_of_a_stream_is_there(stream: str) -> None:
    assert stream in NAMES
    assert set(field_docs._STREAMS[stream]) <= inside(stream)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schema_says_what_its_columns_mean(version: str) -> None:
    for name, stream in TAPS[version].streams.items():
        for column, schema in stream.schema["properties"].items():
            assert schema.get("description", "") == describe(name, column)


def test_meanings_are_sentences() -> None:
    told = [text for table in (FIELDS, *field_docs._STREAMS.values()) for text in table.values()]
    assert all(re.fullmatch(r"\S.*\.", text) and "  " not in text for text in told)


@pytest.mark.parametrize(
    ("stream", "path", "expected"),
    [
        ("accounting_journal_entries", "line_items[].total_amount", "negative"),
        ("commerce_transactions", "amount", "absolute value"),
        ("accounting_invoices", "last_synced_at", "Rutter's clock"),
        ("commerce_orders", "updated_at", "platform's clock"),
        ("connections", "created_at", "Rutter's clock"),
        ("accounting_bills", "vendor_id", "An id of accounting_vendors."),
        ("accounting_classes", "parent_id", "An id of this stream."),
        ("accounting_bill_attachments", "parent_id", "An id of accounting_bills."),
        ("accounting_transactions", "rutter_transaction_id", "row of its own stream"),
    ],
)
def test_signs_clocks_and_ids_are_told(stream: str, path: str, expected: str) -> None:
    assert expected in describe(stream, path)


def test_a_field_whose_name_says_it_all_is_not_described() -> None:
    assert describe("accounting_customers", "phone") == ""
    assert meaning("accounting_bills", "line_items[].description") == ""


# ---- fields whose name nearly says it


@pytest.fixture(scope="module", name="plain")
def _plain() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS.parent / "scripts"))
        yield importlib.import_module("docs_plain_fields")


def last_parts(path: str) -> str:
    """The last two parts of a path without brackets, as ``docs_plain_fields.py`` writes them."""
    return ".".join(path.replace("[]", "").split(".")[-2:])


def test_each_plain_text_is_for_a_field_that_exists(plain: ModuleType) -> None:
    known = {path for stream in NAMES for path in inside(stream)}
    assert set(plain.BY_NAME) <= {path.rpartition(".")[2] for path in known}
    assert set(plain.BY_PLACE) <= {last_parts(path) for path in known}
    for stream, told in plain.BY_STREAM.items():
        assert set(told) <= inside(stream), stream
    for stream, trees in plain.TREES.items():
        lines = {f"{tree}.{name}" for tree in trees for name in plain.STATEMENT}
        assert lines <= inside(stream), stream


def test_plain_texts_are_sentences(plain: ModuleType) -> None:
    tables = (
        plain.BY_NAME,
        plain.BY_PLACE,
        plain.STATEMENT,
        *plain.BY_STREAM.values(),
    )
    told = [text for table in tables for text in table.values()]
    assert all(re.fullmatch(r"[A-Z]\S*.*\.", text) and "  " not in text for text in told)


@pytest.mark.parametrize(
    ("stream", "path", "expected"),
    [
        ("accounting_bills", "line_items[].total_amount", "amount of the line"),
        ("accounting_bills", "total_amount", "total amount"),
        ("accounting_bank_deposits", "total_amount", "whole deposit"),
        ("accounting_balance_sheets", "assets.account_id", "need not be an id of Rutter's"),
        ("accounting_bank_feed_accounts", "line_of_business", "Rutter does not say"),
        ("commerce_products", "no_such_field", ""),
    ],
)
def test_a_plain_text_fits_the_place_of_its_field(
    plain: ModuleType, stream: str, path: str, expected: str
) -> None:
    told = plain.plain_meaning(stream, path)
    assert expected in told and bool(told) == bool(expected)


def test_plain_texts_do_not_go_into_the_catalog(plain: ModuleType) -> None:
    assert plain.plain_meaning("accounting_customers", "phone")
    schema = TAPS["2024-08-31"].streams["accounting_customers"].schema
    assert "description" not in schema["properties"]["phone"]


# ---- platforms


def test_platforms_are_known_to_rutter() -> None:
    known = document("2024-08-31").components["ConnectionEnvelope"]["properties"]["platform"]
    named = {platform for serving in PLATFORMS.values() for platform in serving}
    assert named <= set(known["enum"])
    assert set(PLATFORMS) <= set(NAMES)
    assert all(list(serving) == sorted(set(serving)) for serving in PLATFORMS.values())


# ---- the pages


def page_of(stream: str) -> str:
    for page in (DOCS / "streams").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        if f"\n## {stream}\n" in text:
            return text
    raise AssertionError(f"no page tells of {stream}")


@pytest.mark.parametrize("stream", NAMES)
def test_every_stream_has_a_section_with_its_facts_and_columns(stream: str) -> None:
    section = page_of(stream).split(f"\n## {stream}\n", 1)[1].split("\n## ", 1)[0]
    leaf = next(entry for entry in STREAMS if name_of(entry) == stream)
    newest = next(tap for tap in reversed(TAPS.values()) if stream in tap.streams)
    expected = set(newest.streams[stream].schema["properties"])
    expected -= {"_rutter_extra", "_rutter_issues"}
    assert set(re.findall(r"^\| `([^`.]+)` \|", section, re.MULTILINE)) == expected
    assert f"- Replication: {leaf.replication.label}" in section
    assert f"`{leaf.path}`" in section or not leaf.path
    assert ("- Optional: " in section) == leaf.is_optional
    assert ("- Platforms: " in section) == (stream in PLATFORMS)


@pytest.mark.parametrize("page", sorted((DOCS / "streams").glob("*.md")), ids=lambda p: p.stem)
def test_every_field_on_a_page_has_a_meaning(page: Path) -> None:
    section, told, empty = "", 0, []
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        if row := re.fullmatch(r"\| `([^`]+)` \| [^|]+ \| (.*) \|", line):
            # The values that a field takes do not say what it means.
            words = re.sub(r"`[^`]*`(, )?", "", row[2].partition("→")[0]).strip()
            told += 1
            if not words and "→" not in row[2]:
                empty.append(f"{section}: {row[1]}")
    assert not empty, "without a meaning; see CONTRIBUTING.md, Add a stream"
    assert told > 20


@pytest.mark.parametrize("page", sorted((DOCS / "streams").glob("*.md")), ids=lambda p: p.stem)
def test_an_entity_diagram_connects_streams(page: Path) -> None:
    relations = re.findall(
        r'^    (\w+) \|o(?:--|\.\.)o\{ (\w+) : "[^"]+"$',
        page.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert {name for pair in relations for name in pair} <= set(NAMES)
    assert relations or page.stem in {"account", "supplier_enablement"}


@pytest.mark.parametrize(
    "line",
    [
        "| `accounting_bills` | `total_amount` | string became number |",
        "| `accounting_bills` | `currency` | is `currency_code` now |",
        "| `accounting_company_info` | `platform_id` | is gone |",
        "| `accounting_company_info` | `platform_id` | new: string |",
        "| `accounting_invoices` | `total_discount` | is `discount_amount` now, string became"
        " number |",
        "Streams that are gone: `accounting_ap_aging_report_summaries`,"
        " `accounting_ar_aging_report_summaries`.",
    ],
)
def test_the_page_on_upgrading_tells_of_a_change(line: str) -> None:
    text = (DOCS / "upgrading.md").read_text(encoding="utf-8")
    assert text.count(f"\n{line}\n") == 1


def test_the_page_on_upgrading_tells_of_every_column_that_differs() -> None:
    text = (DOCS / "upgrading.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", text, re.MULTILINE))
    told |= set(re.findall(r"^\| `(\w+)` \| `\w+` \| is `(\w+)` now", text, re.MULTILINE))
    for older, newer in pairwise(VERSIONS):
        for stream in TAPS[older].streams.keys() & TAPS[newer].streams.keys():
            types = [
                {
                    (column, schema.get("format"), str(schema["type"]))
                    for column, schema in TAPS[version].streams[stream].schema["properties"].items()
                }
                for version in (older, newer)
            ]
            differing = {column for column, *_ in types[0] ^ types[1]}
            assert {(stream, column) for column in differing} <= told
