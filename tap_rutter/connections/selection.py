"""The merchant connections of an organisation: which of them a run reads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

from tap_rutter.api.body import missing, open_body
from tap_rutter.api.client import Client
from tap_rutter.api.json_text import clean_text, decode_value
from tap_rutter.api.list_decoder import ListDecoder
from tap_rutter.api.pages import Page, key_of
from tap_rutter.api.paging import follow
from tap_rutter.api.request import Counts, Request, Response
from tap_rutter.connections.connections_file import ALL, Wanted, read_rows
from tap_rutter.connections.notices import missing_platforms
from tap_rutter.errors import (
    ConnectionUnusable,
    CredentialsRefused,
    NotActivated,
    PartitionFailed,
    RequestFailed,
    UnknownConnections,
    Unsupported,
)
from tap_rutter.records.conform import derived_key
from tap_rutter.redact import SECRETS
from tap_rutter.settings import Settings

logger = logging.getLogger("tap-rutter.connections")

LIST_PATH = "/connections"
TOKEN_PATH = "/connections/access_token"

_SHOWN = 12  # connections that a log line names
_LIST = ListDecoder("connections", None, where=LIST_PATH)

# Statuses in which Rutter refuses data calls; asking would only cost requests.
REFUSING = {"needs_reauth": "needs_reauth", "disabled": "disabled"}


@dataclass(frozen=True)
class Connection:
    """One merchant's account on one platform, as Rutter lists it. This object holds no secret."""

    id: str
    platform: str = ""
    status: str = ""
    """active, unhealthy, not_ready, needs_reauth or disabled; "" if the API does not say."""
    row: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The listing's own fields, as the ``connections`` stream takes them."""
    wanted: Wanted = field(default=ALL, compare=False)
    """What of it is to be read."""


@dataclass(frozen=True)
class Skipped:
    """A connection that is not asked for data: its details or its listing cannot be used."""

    name: str
    error: RequestFailed
    platform: str = ""
    row: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """The fields of the listing; None if the connection was not listed."""

    @property
    def reason(self) -> str:
        """The reason in ``sync_report``. A 404 or a closed endpoint is not about a stream here."""
        is_refusal = isinstance(self.error, Unsupported | NotActivated)
        return "refused" if is_refusal else self.error.reason

    @property
    def message(self) -> str:
        """What Rutter answered."""
        return self.error.message


@dataclass(frozen=True)
class Selection:
    """The connections of a run, in a stable order."""

    connections: tuple[Connection, ...]
    not_found: tuple[Skipped, ...] = ()
    notices: tuple[str, ...] = ()
    """Messages about names in the settings that Rutter does not know, for the summary."""


def select_connections(client: Client, settings: Settings) -> Selection:
    """List the organisation's connections and keep those that the settings choose.

    Raises:
        ConfigError: for a ``connections_file`` that cannot be used.
        CredentialsRefused: when Rutter refuses the client id and secret.
        UnknownConnections: when not one of ``connection_ids`` exists.
        RequestFailed: when the list cannot be read at all.
    """
    if settings.connections_file:
        found, not_found = _from_file(client, settings)
    elif settings.access_tokens:
        found, not_found = _by_token(client, settings)
    else:
        found, not_found = _listed(client, settings)
    notices: list[str] = []
    unique = {connection.id: connection for connection in found}
    not_found = [entry for entry in not_found if entry.name not in unique]
    if settings.connection_ids:
        listed = unique.keys() | {entry.name for entry in not_found if entry.row is not None}
        unknown = [name for name in settings.connection_ids if name not in listed]
        known = [name for name in settings.connection_ids if name in unique]
        is_sure = all(entry.row is not None for entry in not_found)
        if len(unknown) == len(settings.connection_ids) and is_sure:
            raise UnknownConnections(
                "Setting 'connection_ids' names no connection that Rutter knows in the"
                f" {settings.environment} environment: {', '.join(unknown)[:300]}."
            )
        if unknown:
            notices.append(
                "Setting 'connection_ids' names connections that Rutter does not know:"
                f" {', '.join(unknown)[:300]}."
            )
        unique = {name: unique[name] for name in known}
        not_found = _narrowed(not_found, lambda e: e.name in settings.connection_ids)
    chosen = sorted(unique.values(), key=lambda connection: connection.id)
    if settings.platforms:
        there = {entry.platform.upper() for entry in chosen}
        there |= {entry.platform.upper() for entry in not_found}
        notices += missing_platforms(settings.platforms, there)
        chosen = [entry for entry in chosen if entry.platform.upper() in settings.platforms]
        not_found = _narrowed(not_found, lambda e: e.platform.upper() in settings.platforms)
    if settings.shard:
        part, parts = settings.shard
        chosen = [entry for entry in chosen if shard_of(entry.id, parts) == part]
        not_found = _narrowed(not_found, lambda e: shard_of(e.name, parts) == part)
    for notice in notices:
        logger.warning("%s", notice)
    _say_unreadable([entry for entry in not_found if entry.row is not None])
    return Selection(tuple(chosen), tuple(not_found), tuple(notices))


def _narrowed(entries: list[Skipped], wanted: Callable[[Skipped], bool]) -> list[Skipped]:
    """The chosen connections. One whose platform is not known is always kept."""
    return [entry for entry in entries if entry.row is None or wanted(entry)]


def _say_unreadable(not_found: list[Skipped]) -> None:
    """Log one line for each cause, however many connections have it."""
    for cause in dict.fromkeys(entry.message for entry in not_found):
        names = [entry.name for entry in not_found if entry.message == cause]
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        logger.error("%s Not read: %d, %s.", cause, len(names), shown)


def shard_of(connection_id: str, parts: int) -> int:
    """Which of ``parts`` shards, counted from 1, a connection belongs to. It never changes."""
    return crc32(connection_id.encode()) % parts + 1


def _from_file(client: Client, settings: Settings) -> tuple[list[Connection], list[Skipped]]:
    """The connections that a file holds, tokens and all: no request is made."""
    found: list[Connection] = []
    not_found: list[Skipped] = []
    for row, wanted in read_rows(settings.connections_file):
        entry = _take_in(client, row)
        if isinstance(entry, Connection):
            found.append(replace(entry, wanted=wanted))
        else:
            not_found.append(entry)
    return found, not_found


def _listed(client: Client, settings: Settings) -> tuple[list[Connection], list[Skipped]]:
    """All connections, in any status.

    Without ``status=any`` Rutter leaves out connections that are disabled or need to sign in again.
    If the parameter is refused, the request is sent again without it.
    """
    counts = Counts()
    try:
        return _all_pages(client, settings, {"status": "any"}, counts)
    except RequestFailed as error:
        if error.status != 400:
            raise
    logger.warning("Rutter refused status=any: connections in trouble may be left out.")
    return _all_pages(client, settings, {}, counts)


def _all_pages(
    client: Client, settings: Settings, params: dict[str, str], counts: Counts
) -> tuple[list[Connection], list[Skipped]]:
    # The list is documented without pages. If a cursor comes all the same, it is followed.
    found: list[Connection] = []
    not_found: list[Skipped] = []

    def fetch(cursor: str | None) -> Page:
        query = params if cursor is None else {**params, "cursor": cursor}
        return client.get(Request(LIST_PATH, query, proves_address=True), _LIST, counts)

    try:
        for page in follow(fetch, LIST_PATH):
            for raw in page.raws:
                entry = _take_in(client, decode_value(raw))
                if isinstance(entry, Connection):
                    found.append(entry)
                else:
                    not_found.append(entry)
    except RequestFailed as error:
        _raise_refused(error, settings)
        raise
    return found, not_found


def _take_in(client: Client, row: Mapping[str, Any]) -> Connection | Skipped:
    """Take a listed connection in; its secrets go to the client and the redaction only."""
    identity, token = _as_text(row.get("id")), _as_text(row.get("access_token"))
    SECRETS.add(token, _as_text(row.get("link_url")))
    platform = _as_text(row.get("platform"))
    kept = {name: value for name, value in row.items() if name in ROW_FIELDS}
    if not identity.strip() or clean_text(identity) != identity:
        # The id is the same in sync_report and in its row of the stream connections.
        name = clean_text(key_of(row.get("id")) or "").strip()
        kept["id"] = name or derived_key("connections", None, kept)
        said = "Rutter lists connections whose id is not usable text."
    elif not token.strip():
        said = "Rutter lists connections without an access token."
    else:
        client.tokens[identity] = token
        return Connection(identity, platform, _as_text(row.get("status")), kept)
    status = _as_text(row.get("status"))
    error: RequestFailed = PartitionFailed(said, reason="bad_response")
    if status in REFUSING:  # its status comes first: it is not read anyway
        error = ConnectionUnusable(said, reason=REFUSING[status])
    return Skipped(kept["id"], error, platform, kept)


ROW_FIELDS = ("id", "platform", "name", "status", "created_at", "updated_at")
"""The fields of a listed connection that may leave. The others hold secrets."""


def _by_token(client: Client, settings: Settings) -> tuple[list[Connection], list[Skipped]]:
    """The connections of the setting ``access_tokens``."""
    found: list[Connection] = []
    not_found: list[Skipped] = []
    checked = False
    for index, token in enumerate(settings.access_tokens):
        SECRETS.add(token)
        name = f"access_tokens[{index}]"
        client.tokens[name] = token
        try:
            call = Request(TOKEN_PATH, {}, name, proves_address=True)
            row = client.get(call, _decode_connection, Counts())
        except ConnectionUnusable as error:
            if error.reason == "unauthorized" and not checked:
                check_credentials(client, settings)
                checked = True
            not_found.append(Skipped(name, error))
        except (PartitionFailed, Unsupported, NotActivated) as error:
            not_found.append(Skipped(name, error))
        else:
            found.append(_from_details(client, row, token))
        finally:
            del client.tokens[name]
    for entry in not_found:
        logger.error("%s cannot be used: %s", entry.name, entry.message)
    return found, not_found


def _decode_connection(response: Response) -> dict[str, Any]:
    outer = open_body(response.content)
    row = decode_value(outer["connection"]) if "connection" in outer else None
    if not isinstance(row, dict) or not _as_text(row.get("id")):
        raise missing(response.content, "connection", TOKEN_PATH)
    return row


def _from_details(client: Client, row: dict[str, Any], token: str) -> Connection:
    SECRETS.add(_as_text(row.get("link_url")))
    status = ""
    if row.get("disabled") is True:
        status = "disabled"
    elif row.get("needs_update") is True:
        status = "needs_reauth"
    client.tokens[row["id"]] = token
    return Connection(
        id=row["id"],
        platform=_as_text(row.get("platform")),
        status=status,
        row={
            "id": row["id"],
            "platform": row.get("platform"),
            "name": row.get("store_name"),
            "status": status or None,
            "created_at": row.get("created_at"),
            "updated_at": None,
        },
    )


def check_credentials(client: Client, settings: Settings) -> None:
    """Find out whether the credentials are refused, and not only an access token.

    Raises:
        CredentialsRefused: when it is the client id and secret that are refused.
    """
    try:
        client.get(Request(LIST_PATH, {}, proves_address=True), _LIST, Counts())
    except RequestFailed as error:
        _raise_refused(error, settings)


def _raise_refused(error: RequestFailed, settings: Settings) -> None:
    if error.status == 401 and not isinstance(error, NotActivated):
        raise CredentialsRefused(
            f"Rutter refuses 'client_id' and 'client_secret' in the {settings.environment}"
            " environment (401). Check both, and that they belong to that environment: production"
            " and sandbox have keys of their own."
        ) from None
    if isinstance(error, Unsupported):
        raise PartitionFailed(
            f"{error.message}. Rutter has this list at every address of its own: check api_url",
            reason="refused",
            status=error.status,
            code=error.code,
        ) from None


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else ""
