"""Stream maps and flattening: checked before any request; failures are reported once each.

The maps are the SDK's. The code here refuses maps without effect, makes every declared field known
to expressions, and names an expression that fails.
"""

from __future__ import annotations

import ast
import copy
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any, Protocol

from singer_sdk.mapper import CustomStreamMap, PluginMapper, RemoveRecordTransform, StreamMap
from singer_sdk.singerlib import RecordMessage

from tap_rutter.errors import ConfigError, MapFailed
from tap_rutter.names import counted, listed, meant, nearest
from tap_rutter.sync.partition_report import ALL

logger = logging.getLogger("tap-rutter")

Maps = Mapping[str, Any]

_ELSE, _SOURCE, _FILTER = "__else__", "__source__", "__filter__"
_KEY, _ALIAS = "__key_properties__", "__alias__"
_NOTHING: tuple[object, ...] = (None, "__NULL__")

# ---- before any request


@dataclass(frozen=True)
class Known:
    """The streams and columns that maps may name."""

    streams: Sequence[str]
    """All streams, also those that this run does not have."""
    columns: Mapping[str, Sequence[str]]
    """The columns of each stream of this run."""
    keys: Mapping[str, Sequence[str]]
    """Their keys."""


def checked(maps: Maps, known: Known) -> tuple[dict[str, Any], list[str]]:
    """The maps in the form that the SDK takes, and warnings about them.

    Raises:
        ConfigError: for a map that cannot be read, or whose stream does not exist.
    """
    settled: dict[str, Any] = {}
    notices: list[str] = []
    primary: dict[str, list[str]] = {}
    for name, definition in maps.items():
        if name == _ELSE:
            if definition not in _NOTHING:
                raise _unusable(f"'{_ELSE}' must be null: it removes every stream without a map")
        elif name.startswith("__"):
            raise _unusable(f"'{name}' is beside the streams, but belongs inside a stream's map")
        else:
            for stream in _sources(name, definition, known):
                if stream in known.columns:
                    primary.setdefault(stream, []).append(name)
            if isinstance(definition, dict):
                notices += _check_fields(name, definition, known)
                if _is_never(definition):
                    if _SOURCE not in definition:
                        settled[name] = None
                    continue
        settled[name] = copy.deepcopy(definition)
    notices += [
        f"Setting 'stream_maps' has several maps for {stream} ({listed(entries)}): only the last"
        " one counts."
        for stream, entries in primary.items()
        if len(entries) > 1
    ]
    return settled, notices


def _unusable(what: str) -> ConfigError:
    return ConfigError(f"Setting 'stream_maps' cannot be used: {what}.")


def _sources(name: str, definition: Any, known: Known) -> list[str]:
    """The streams that a map replaces; none for a map that makes a copy.

    Raises:
        ConfigError: if the map's source does not exist.
    """
    if definition not in _NOTHING and not isinstance(definition, dict):
        raise _unusable(f"the map for '{name}' must be an object or null")
    makes_copy = isinstance(definition, dict) and _SOURCE in definition
    source = definition[_SOURCE] if makes_copy else name
    if not isinstance(source, str):
        raise _unusable(f"'{_SOURCE}' of '{name}' must be the name of a stream")
    found = [stream for stream in known.streams if fnmatch(stream, source)]
    if not found:
        where = f"'{_SOURCE}' of '{name}'" if makes_copy else "a map"
        raise ConfigError(
            f"Setting 'stream_maps' has {where} for '{source}', which is not a stream."
            f"{meant(source, known.streams)}"
        )
    return [] if makes_copy else found


def _check_fields(name: str, definition: Mapping[str, Any], known: Known) -> Iterator[str]:
    source = definition.get(_SOURCE, name)
    streams = [stream for stream in known.columns if fnmatch(stream, source)]
    for column, expression in definition.items():
        if column == _SOURCE:
            continue
        if column == _ALIAS:
            if not isinstance(expression, str) or not expression:
                raise _unusable(f"'{_ALIAS}' of '{name}' must be a name")
        elif column == _KEY:
            if expression is not None and not _are_texts(expression):
                raise _unusable(f"'{_KEY}' of '{name}' must be an array of columns, or null")
        elif column == _ELSE:
            if expression not in _NOTHING:
                raise _unusable(f"'{_ELSE}' of '{name}' must be null")
        elif expression in _NOTHING:
            if column == _FILTER:
                continue
            if _KEY not in definition and any(column in known.keys[stream] for stream in streams):
                raise _unusable(
                    f"the map for '{name}' removes '{column}', which is part of the key; name"
                    f" another key in its '{_KEY}', or keep it"
                )
            columns = {entry for stream in streams for entry in known.columns[stream]}
            if streams and column not in columns:
                yield (
                    f"Setting 'stream_maps' removes '{column}' from '{name}', which has no such"
                    f" column.{meant(column, columns)}"
                )
        elif not isinstance(expression, str):
            raise _unusable(f"'{column}' of '{name}' must be an expression (text) or null")
        elif not _is_expression(expression):
            raise _unusable(f"the expression for '{column}' of '{name}' cannot be read")
    if _ELSE in definition and _KEY not in definition:
        for column in {entry: 0 for stream in streams for entry in known.keys[stream]}:
            if column not in definition:
                raise _unusable(
                    f"the map for '{name}' leaves out '{column}', which is part of the key: its"
                    f" '{_ELSE}' removes what it does not name. Add '{column}': '{column}'"
                )


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _is_expression(text: str) -> bool:
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return len(body) == 1 and isinstance(body[0], ast.Expr)


def _is_never(definition: Mapping[str, Any]) -> bool:
    """Whether a filter never lets a row through: ``"False"``, ``"0"``."""
    rule = definition.get(_FILTER)
    try:
        return isinstance(rule, str) and not ast.literal_eval(rule)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return False  # an expression that looks at the row


def leaves(maps: Sequence[StreamMap]) -> bool:
    """Whether a stream's maps let anything leave."""
    return any(not isinstance(entry, RemoveRecordTransform) for entry in maps)


# ---- records on their way


def guard(mapper: PluginMapper) -> None:
    """Make errors name the expression that failed.

    The SDK raises the expression's own error, which does not say where it comes from. No public
    hook is closer than the evaluation itself.
    """
    for entries in mapper.stream_maps.values():
        for entry in entries:
            if isinstance(entry, CustomStreamMap):
                entry._eval = _Guarded(entry)  # type: ignore[assignment, method-assign]


class _Guarded:
    """Evaluates the expressions of one map."""

    def __init__(self, owner: CustomStreamMap) -> None:
        self._owner = owner
        self._inner = owner._eval

    def __call__(self, *, record: dict[str, Any], property_name: str | None, **more: Any) -> Any:
        try:
            return self._inner(record=record, property_name=property_name, **more)
        except Exception as error:
            cause = error.__cause__ or error
            where = property_name or _FILTER
            raise MapFailed(self._owner.stream_alias, where, _said(cause, record)) from None


def _said(error: BaseException, record: Mapping[str, Any]) -> str:
    """What went wrong, without the expression and its values, which may be private."""
    kind = type(error).__name__
    if kind == "NameNotDefined":
        name = str(getattr(error, "name", ""))
        near = nearest(name, record)
        return f"there is no field '{name}'" + (f" (nearest: '{near}')" if near else "")
    if kind == "FunctionNotDefined":
        return f"there is no function '{getattr(error, 'func_name', '')}'"
    if kind == "AttributeDoesNotExist":
        return f"there is no attribute '{getattr(error, 'attr', '')}'"
    if isinstance(error, TypeError | AttributeError):  # their messages hold only types and names
        return f"{kind}: {error}"
    return kind


@dataclass
class _Failure:
    said: str
    rows: int = 0
    connections: set[str] = field(default_factory=set)

    @property
    def who(self) -> str:
        """How many rows, of which connection or how many connections."""
        rows = counted(self.rows, "row")
        whose = counted(len(self.connections), "connection")
        return f"{rows} of {whose}" if self.connections else rows


class MapFailures:
    """The rows for which maps failed; logged once for each expression."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], _Failure] = {}

    def note(self, error: MapFailed, connection_id: str) -> None:
        """One row did not leave."""
        place = error.name, error.column
        if place not in self._found:
            self._found[place] = _Failure(error.said)
            logger.error(
                "The stream map '%s' fails at '%s': %s. Rows that it fails for do not leave, and"
                " no bookmark moves past them.",
                *place,
                error.said,
            )
        self._found[place].rows += 1
        self._found[place].connections |= {connection_id} - {ALL}

    def lines(self) -> list[str]:
        """For the summary."""
        return [
            f"Failed: the stream map '{name}' at '{column}', for {found.who}: {found.said}."
            for (name, column), found in self._found.items()
        ]


class MappedStream(Protocol):
    """The parts of an SDK stream that its records pass through."""

    @property
    def is_unmapped(self) -> bool:
        """Whether no map and no flattening changes its records."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its records."""

    @property
    def stream_maps(self) -> list[StreamMap]:
        """The SDK's maps of the stream."""

    def _generate_record_messages(self, record: dict[str, Any]) -> Iterable[RecordMessage]: ...


def messages(stream: MappedStream, record: dict[str, Any]) -> list[Any]:
    """The RECORD messages of a record, after the SDK's selection, maps and flattening.

    A declared field that the record lacks is null here, so that expressions find it, and so that
    all rows give the same columns.

    Raises:
        MapFailed: for an expression that fails. Then nothing of the record leaves.
    """
    if stream.is_unmapped:
        return list(stream._generate_record_messages(record))
    _fill(record, stream.schema)
    # A list: all messages exist before the first leaves. Selection and maps have no public hook.
    made = list(stream._generate_record_messages(record))
    flat = {entry.stream_alias: entry for entry in stream.stream_maps if entry.flattening_enabled}
    for message in made:
        if message.stream in flat:
            _square(message.record, flat[message.stream].transformed_schema["properties"])
    return made


def _fill(record: dict[str, Any], schema: Mapping[str, Any]) -> None:
    for name, node in schema.get("properties", {}).items():
        value = record.setdefault(name, None)
        if isinstance(value, dict) and "properties" in node:
            _fill(value, node)


def _square(record: dict[str, Any], declared: Mapping[str, Any]) -> None:
    """A null object gives a null for each of its columns, and no column of its own."""
    for name in [name for name, value in record.items() if value is None and name not in declared]:
        del record[name]
    for name in declared:
        record.setdefault(name, None)
