"""The merchant connections of an organisation: which of them a run reads."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from tap_rutter.client import Answer, Call, Client, Counts
from tap_rutter.errors import (
    ConnectionUnusable,
    CredentialsRefused,
    PairFailed,
    RequestFailed,
    UnknownConnections,
    Unsupported,
)
from tap_rutter.notices import missing_platforms
from tap_rutter.pages import ListDecoder, Page, decode_value, missing, open_body
from tap_rutter.paging import follow
from tap_rutter.redact import SECRETS
from tap_rutter.settings import Settings

logger = logging.getLogger("tap-rutter.connections")

LIST_PATH = "/connections"
TOKEN_PATH = "/connections/access_token"

_LIST = ListDecoder("connections", None, where=LIST_PATH)

# Statuses in which Rutter refuses data calls; asking would only cost requests.
REFUSING = {"needs_reauth": "needs_reauth", "disabled": "disabled"}


@dataclass(frozen=True)
class Connection:
    """One merchant's account on one platform, as Rutter lists it. It holds no secret."""

    id: str
    platform: str = ""
    status: str = ""
    """active, unhealthy, not_ready, needs_reauth, disabled; "" where the API does not say."""
    row: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The listing's own fields, as the ``connections`` stream takes them."""


@dataclass(frozen=True)
class Skipped:
    """A connection that could not even be looked up."""

    name: str
    error: RequestFailed

    @property
    def reason(self) -> str:
        """Why; a 404 in this place says nothing of what a platform serves."""
        return "refused" if isinstance(self.error, Unsupported) else self.error.reason

    @property
    def message(self) -> str:
        """What Rutter answered."""
        return self.error.message


@dataclass(frozen=True)
class Chosen:
    """The connections of a run, in a stable order."""

    connections: tuple[Connection, ...]
    lost: tuple[Skipped, ...] = ()
    notices: tuple[str, ...] = ()
    """What the settings name and Rutter does not know, for the summary."""


def choose(client: Client, settings: Settings) -> Chosen:
    """List the organisation's connections and keep those that the settings ask for.

    Raises:
        CredentialsRefused: when Rutter refuses the client id and secret.
        UnknownConnections: when not one of ``connection_ids`` exists.
        RequestFailed: when the list cannot be read at all.
    """
    if settings.access_tokens:
        found, lost = _by_token(client, settings)
    else:
        found, lost = _listed(client, settings), ()
    notices: list[str] = []
    unique = {connection.id: connection for connection in found}
    if settings.connection_ids:
        unknown = [name for name in settings.connection_ids if name not in unique]
        known = [name for name in settings.connection_ids if name in unique]
        if unknown and not known and not lost:
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
    chosen = sorted(unique.values(), key=lambda connection: connection.id)
    if settings.platforms:
        notices += missing_platforms(
            settings.platforms, {connection.platform.upper() for connection in chosen}
        )
        chosen = [entry for entry in chosen if entry.platform.upper() in settings.platforms]
    if settings.shard:
        part, parts = settings.shard
        chosen = [entry for entry in chosen if shard_of(entry.id, parts) == part]
    for notice in notices:
        logger.warning("%s", notice)
    return Chosen(tuple(chosen), tuple(lost), tuple(notices))


def shard_of(connection_id: str, parts: int) -> int:
    """Which of ``parts`` shards, counted from 1, a connection falls into; for ever the same."""
    return crc32(connection_id.encode()) % parts + 1


def _listed(client: Client, settings: Settings) -> list[Connection]:
    """All connections, in whatever status.

    Without ``status=any`` Rutter leaves out those that are disabled or need to sign in again; a
    version or host that does not know the parameter is asked without it.
    """
    counts = Counts()
    try:
        return _all_pages(client, {"status": "any"}, counts)
    except RequestFailed as error:
        _raise_refused(error, settings)
        if error.status != 400:
            raise
        logger.warning("Rutter refused status=any: connections in trouble may be left out.")
    try:
        return _all_pages(client, {}, counts)
    except RequestFailed as error:
        _raise_refused(error, settings)
        raise


def _all_pages(client: Client, params: dict[str, str], counts: Counts) -> list[Connection]:
    # The list is documented as unpaged, with no word on a cap: a cursor is followed if one comes.
    found: list[Connection] = []

    def fetch(cursor: str | None) -> Page:
        query = params if cursor is None else {**params, "cursor": cursor}
        return client.get(Call(LIST_PATH, query), _LIST, counts)

    for page in follow(fetch, LIST_PATH):
        rows = (decode_value(raw) for raw in page.raws)
        found += filter(None, (_learn(client, row) for row in rows))
    return found


def _learn(client: Client, row: dict[str, Any]) -> Connection | None:
    """Take a listed connection in; its secrets go to the client and the redaction only."""
    identity, token = _as_text(row.get("id")), _as_text(row.get("access_token"))
    SECRETS.add(token, _as_text(row.get("link_url")))
    if not identity:
        logger.warning("A connection is listed without an id that is text: left out.")
        return None
    if not token:
        logger.warning("Connection %s is listed without an access token: left out.", identity)
        return None
    client.tokens[identity] = token
    return Connection(
        id=identity,
        platform=_as_text(row.get("platform")),
        status=_as_text(row.get("status")),
        row={name: value for name, value in row.items() if name in ROW_FIELDS},
    )


ROW_FIELDS = ("id", "platform", "name", "status", "created_at", "updated_at")
"""What of a listed connection may leave: an allow-list, since the rest holds secrets."""


def _by_token(client: Client, settings: Settings) -> tuple[list[Connection], tuple[Skipped, ...]]:
    """The connections of explicitly given access tokens."""
    found: list[Connection] = []
    lost: list[Skipped] = []
    checked = False
    for index, token in enumerate(settings.access_tokens):
        SECRETS.add(token)
        name = f"access_tokens[{index}]"
        client.tokens[name] = token
        try:
            row = client.get(Call(TOKEN_PATH, {}, name), _decode_connection, Counts())
        except ConnectionUnusable as error:
            if error.reason == "unauthorized" and not checked:
                check_credentials(client, settings)
                checked = True
            lost.append(Skipped(name, error))
        except (PairFailed, Unsupported) as error:
            lost.append(Skipped(name, error))
        else:
            found.append(_from_details(client, row, token))
        finally:
            del client.tokens[name]
    for entry in lost:
        logger.error("%s cannot be used: %s", entry.name, entry.message)
    return found, tuple(lost)


def _decode_connection(answer: Answer) -> dict[str, Any]:
    outer = open_body(answer.content)
    row = decode_value(outer["connection"]) if "connection" in outer else None
    if not isinstance(row, dict) or not _as_text(row.get("id")):
        raise missing(answer.content, "connection", TOKEN_PATH)
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
    """Tell a refused access token from refused credentials: the list needs the latter only.

    Raises:
        CredentialsRefused: when it is the client id and secret that are refused.
    """
    try:
        client.get(Call(LIST_PATH, {}), _LIST, Counts())
    except RequestFailed as error:
        _raise_refused(error, settings)


def _raise_refused(error: RequestFailed, settings: Settings) -> None:
    if error.status == 401:
        raise CredentialsRefused(
            f"Rutter refuses 'client_id' and 'client_secret' in the {settings.environment}"
            " environment (401). Check both, and that they belong to that environment: production"
            " and sandbox have keys of their own."
        ) from None


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def platforms_of(connections: Iterable[Connection]) -> tuple[str, ...]:
    """The platforms among connections, sorted."""
    return tuple(sorted({connection.platform for connection in connections}))
