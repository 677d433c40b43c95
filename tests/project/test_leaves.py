"""Rules that every stream keeps, and what its schema promises to a warehouse."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.in_process import run_here
from support.singer import arguments, discovered

from tap_rutter.schema.document import document
from tap_rutter.schema.json_schema import OBJECT
from tap_rutter.streams import OPTIONAL, STREAMS, name_of
from tap_rutter.streams.base import RutterStream, SyncedStream
from tap_rutter.streams.described import check_described
from tap_rutter.tap import TapRutter
from tap_rutter.versions import SUPPORTED

Json = dict[str, Any]

FAMILIES = ("accounting", "commerce", "banking", "hris", "ads", "supplier_enablement")
# Streams that are about the account at Rutter, and so belong to no family.
ACCOUNT = {
    "connections",
    "connection_statuses",
    "connection_sync_configs",
    "deleted_objects",
    "sync_report",
}
# What Rutter gives as it comes from the platform, whatever that is.
ANYTHING = {("commerce_transactions", "gateway_data")}
# Endpoints that are truly odd: all that a leaf may do beside telling facts.
METHODS = {
    "commerce_balance": {"fields", "transform_row"},  # it has no time of its own: the day is added
    "commerce_product_categories": {"transform_row"},  # a tree
    "connection_sync_configs": {"transform_row"},  # kept for the summary
    "connection_statuses": {"transform_row"},  # nested five deep
    "deleted_objects": {"fields", "transform_row"},  # events, made into what they are about
}
SECRET = re.compile(r"access_token|.*link_url|update_url|.*secret.*|.*password.*")
LEAVES = pytest.mark.parametrize("leaf", STREAMS, ids=name_of)


@pytest.fixture(scope="module", params=SUPPORTED)
def tap(request: pytest.FixtureRequest) -> TapRutter:
    """A tap of each API version, with all optional streams."""
    config = {"api_version": request.param, "optional_streams": list(OPTIONAL)}
    return TapRutter(config=config, validate_config=False)


def columns(tap: TapRutter) -> Iterator[tuple[str, str, Json]]:
    """All top-level fields: stream, name, schema."""
    for name, stream in tap.streams.items():
        for column, schema in stream.schema["properties"].items():
            yield name, column, schema


def fields(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """All fields of a schema at any depth, by dotted path."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}{name}", field
        yield from fields(field, f"{path}{name}.")


# ---- leaves


@LEAVES
def test_a_name_is_a_family_and_an_object(leaf: type[RutterStream]) -> None:
    name = name_of(leaf)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
    assert name in ACCOUNT or name.startswith(tuple(f"{family}_" for family in FAMILIES))


@LEAVES
def test_a_leaf_says_in_a_sentence_what_its_rows_are(leaf: type[RutterStream]) -> None:
    text = vars(leaf)["__doc__"] or ""
    assert re.match(r"[A-Z][^\n]{9,}\.(\n|$)", text)


@LEAVES
def test_a_leaf_tells_facts_and_does_nothing(leaf: type[RutterStream]) -> None:
    methods = {
        name
        for name, value in vars(leaf).items()
        if inspect.isroutine(value) or isinstance(value, classmethod | staticmethod | property)
    }
    assert methods == METHODS.get(name_of(leaf), set())
    # The base of a kind, a family, the leaf: no deeper, and one line of descent.
    own = leaf.__mro__[: leaf.__mro__.index(RutterStream)]
    assert len([part for part in own if part.__module__ != RutterStream.__module__]) <= 2
    assert all(len(part.__bases__) == 1 for part in own)


@pytest.mark.parametrize("version", SUPPORTED)
def test_endpoint_and_component_are_described(version: str) -> None:
    check_described(STREAMS, document(version))


def test_only_the_report_has_no_endpoint() -> None:
    assert [name_of(leaf) for leaf in STREAMS if not leaf.path] == ["sync_report"]


def test_key_and_bookmark_are_fields_of_the_rows(tap: TapRutter) -> None:
    for name, stream in tap.streams.items():
        assert isinstance(stream, RutterStream)
        told = {*stream.primary_keys, *([stream.replication_key] if stream.replication_key else [])}
        assert told - {"connection_id"} <= set(stream.fields(tap)), name


class ImaginaryThings(SyncedStream):
    """Things that Rutter does not have."""

    name = "accounting_imaginary_things"
    path = "/accounting/imaginary_things"
    component = "ImaginaryThing"


class MisspeltBills(SyncedStream):
    """Bills under an address that is nearly theirs."""

    name = "accounting_misspelt_bills"
    path = "/accounting/bill"
    component = "Bill"


class RenamedBills(SyncedStream):
    """Bills, of a type that the description calls something else."""

    name = "accounting_renamed_bills"
    path = "/accounting/bills"
    component = "PayableBill"


class UntypedBills(SyncedStream):
    """Bills of a type that the leaf forgot."""

    name = "accounting_untyped_bills"
    path = "/accounting/bills"


MAKE = "make openapi VERSION=2024-08-31 SOURCE=description.yaml"


@pytest.mark.parametrize(
    ("leaf", "complaints"),
    [
        (
            ImaginaryThings,
            [
                "'accounting_imaginary_things' (ImaginaryThings in ",
                " reads /accounting/imaginary_things, ",
                MAKE,
            ],
        ),
        (MisspeltBills, ["'accounting_misspelt_bills'", "did you mean /accounting/bills?", MAKE]),
        (RenamedBills, ["rows of type 'PayableBill', which", "the rows are of type 'Bill'", MAKE]),
        (UntypedBills, ["does not name the type", "the rows are of type 'Bill'", MAKE]),
    ],
    ids=lambda value: value.__name__ if inspect.isclass(value) else "",
)
@pytest.mark.parametrize("command", ["discovery", "a run"])
def test_a_leaf_that_the_description_does_not_know_is_an_error_that_says_so(
    leaf: type[RutterStream],
    complaints: list[str],
    command: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tap_rutter.catalog.STREAMS", (*STREAMS, leaf))
    # Nobody listens on port 9: a request would be noticed as another error.
    keys = {"client_id": "i", "client_secret": "s", "api_url": "http://127.0.0.1:9/versioned"}

    with arguments(keys) as files:
        ended = run_here(*(["--discover"] if command == "discovery" else files))

    assert (ended.code, ended.stdout) == (2, "")
    assert len(ended.errors) == 1
    for complaint in complaints:
        assert complaint in ended.errors[0]


def test_an_endpoint_that_only_some_versions_have_is_not_an_error() -> None:
    older = [leaf for leaf in STREAMS if "aging_report" in leaf.path]
    assert older
    check_described(older, document("2024-08-31"))
    assert not any(document("2024-08-31").has(leaf.path) for leaf in older)


def test_names_and_deletion_resources_are_not_shared() -> None:
    names = [name_of(leaf) for leaf in STREAMS]
    resources = [leaf.event_resource for leaf in STREAMS if leaf.event_resource]
    assert sorted(set(names)) == sorted(names)
    assert sorted(set(resources)) == sorted(resources)


# ---- schemas


def test_the_schema_is_made_once(tap: TapRutter) -> None:
    for stream in tap.streams.values():
        assert stream.schema is stream.schema


def test_keys_are_there_and_are_never_null(tap: TapRutter) -> None:
    for name, stream in tap.streams.items():
        declared = stream.schema["properties"]
        assert stream.primary_keys
        for column in stream.primary_keys:
            assert "null" not in declared[column]["type"], (name, column)


def test_the_connection_is_the_first_column_and_part_of_the_key(tap: TapRutter) -> None:
    for name, stream in tap.streams.items():
        if name == "connections":
            assert "connection_id" not in stream.schema["properties"]
            continue
        assert next(iter(stream.schema["properties"])) == "connection_id", name
        assert "connection_id" in stream.primary_keys, name


def test_replication_keys_are_times(tap: TapRutter) -> None:
    for name, stream in tap.streams.items():
        if stream.replication_key is not None:
            declared = stream.schema["properties"][stream.replication_key]
            assert declared["format"] == "date-time", name


def test_everything_but_the_key_may_be_null_and_has_one_type(tap: TapRutter) -> None:
    for name, column, schema in columns(tap):
        kinds = [kind for kind in schema["type"] if kind != "null"]
        assert (len(kinds) == 1) != ((name, column) in ANYTHING), (name, column)
        assert ("null" in schema["type"]) != (column in tap.streams[name].primary_keys)


def test_nothing_is_enforced_that_rutter_may_change(tap: TapRutter) -> None:
    allowed = {"type", "format", "properties", "additionalProperties", "description"}
    for name, stream in tap.streams.items():
        assert stream.schema["additionalProperties"] is True, name
        for path, schema in fields(stream.schema):
            # No enum, no const, no required; no items, of which targets make typed arrays.
            assert schema.keys() <= allowed, (name, path)
            assert schema.get("format") in {None, "date-time"}, (name, path)
            if schema["type"] == OBJECT["type"]:
                assert schema["additionalProperties"] is True, (name, path)


def test_no_field_has_the_name_of_a_secret(tap: TapRutter) -> None:
    for name, stream in tap.streams.items():
        for path, _ in fields(stream.schema):
            assert not SECRET.fullmatch(path.rsplit(".", 1)[-1]), (name, path)


def test_rows_of_the_api_can_hold_what_the_schema_does_not_know(tap: TapRutter) -> None:
    for name, stream in tap.streams.items():
        assert isinstance(stream, RutterStream)
        kept = {"_rutter_extra", "_rutter_issues"} & stream.schema["properties"].keys()
        assert len(kept) == (0 if stream.is_allow_list else 2), name


# ---- the catalog


def test_optional_streams_are_there_only_when_named() -> None:
    names = {entry["tap_stream_id"] for entry in discovered()["streams"]}
    more = {entry["tap_stream_id"] for entry in discovered(*OPTIONAL)["streams"]}
    assert names.isdisjoint(OPTIONAL)
    assert more - names == set(OPTIONAL)


def test_the_catalog_tells_keys_and_replication() -> None:
    for entry in discovered(*OPTIONAL)["streams"]:
        leaf = next(leaf for leaf in STREAMS if name_of(leaf) == entry["tap_stream_id"])
        whole = next(part["metadata"] for part in entry["metadata"] if not part["breadcrumb"])
        assert list(entry["key_properties"]) == list(leaf.primary_keys)
        assert list(whole["table-key-properties"]) == list(leaf.primary_keys)
        assert entry.get("replication_key") == leaf.replication_key
        assert entry["replication_method"] == (
            "INCREMENTAL" if leaf.replication_key else "FULL_TABLE"
        )
