"""Switches for behaviour of the API that is not known.

What is published leaves some questions open: which status a connection that is not ready answers
with, or whether a platform refuses or ignores a sort order. A client must work in each case. Each
switch has a default, and can be set for the whole world, or only for a platform, a path or a
connection. The setting with the most conditions counts; of several such settings, the latest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_MODES = ("honour", "ignore", "refuse")

# name -> (default, allowed values; None: any value of the default's kind)
SWITCHES: dict[str, tuple[Any, tuple[Any, ...] | None]] = {
    # Parameters of lists.
    "sort": ("honour", _MODES),
    "commerce_order": ("updated_at", ("updated_at", "created_at")),  # "most recent first"
    "filter": ("honour", _MODES),
    "updated_at_bounds": ("honour", _MODES),
    "created_at_bounds": ("honour", _MODES),
    "arrival_at_bounds": ("honour", _MODES),
    "last_synced_at_bounds": ("honour", _MODES),
    "transaction_date_bounds": ("honour", _MODES),
    "start_date_bounds": ("honour", ("honour", "ignore")),  # of the statements
    # platform_data on lists that do not declare `expand`: in practice they give it.
    "undeclared_expand": ("honour", _MODES),
    "limit_above_max": ("refuse", ("refuse", "clamp")),
    "most_rows": (0, None),  # of a page, whatever limit asks for; 0: as many as it asks for
    # Pages.
    "cursor_end": ("auto", ("auto", "absent", "null", "empty")),
    # "second": the cursor knows only the second, so rows of that second come again; "exact": it
    # knows the row, unless the row has moved.
    "cursor_seek": ("second", ("second", "exact")),
    "nulls": ("last", ("first", "last")),
    "empty_pages": (False, (False, True)),
    # Statuses of errors.
    "not_ready_status": (400, None),
    "disabled_status": (400, None),
    "needs_update_status": (400, None),
    "unsupported_status": (404, None),
    "not_allowed_status": (403, None),
    "gone_status": (410, None),
    # Whether the organisation may use an endpoint at all.
    "activated": (True, (False, True)),
    # Forms of answers.
    "event_data": ("object", ("object", "id", "null", "text")),
    "balance": ("object", ("object", "array")),
    "statement_months": (12, None),  # months that are served without dates
    "async_response": (False, (False, True)),
    "job_polls": (2, None),  # polls before the job ends
    "job_shape": ("flat", ("flat", "wrapped")),
    # "partial_success": every other row is missing; "expired": a status that is not documented.
    "job_result": ("success", ("success", "partial_success", "failure", "expired")),
    "custom_field_keys": ("literal", ("literal", "named")),
    "sync_config": ("camel", ("camel", "snake", "wrapped")),
    # /connections
    "status_parameter": ("honour", ("honour", "refuse")),
    "connections_page_size": (0, None),  # 0: all connections in one answer
}


@dataclass(frozen=True)
class _Setting:
    name: str
    value: Any
    platform: str | None
    path: str | None
    connection_id: str | None

    def fits(self, platform: str | None, path: str | None, connection_id: str | None) -> bool:
        return (
            self.platform in (None, platform)
            and self.path in (None, path)
            and self.connection_id in (None, connection_id)
        )

    @property
    def conditions(self) -> int:
        return sum(part is not None for part in (self.platform, self.path, self.connection_id))


class Switches:
    """The switches of one world."""

    def __init__(self) -> None:
        self._settings: list[_Setting] = []

    def set(
        self,
        name: str,
        value: Any,
        *,
        platform: str | None = None,
        path: str | None = None,
        connection_id: str | None = None,
    ) -> None:
        """Set a switch; `path` is an endpoint of the document, such as ``/accounting/bills``."""
        default, allowed = _known(name)
        if allowed is not None and value not in allowed:
            raise ValueError(f"switch {name} takes one of {list(allowed)}, not {value!r}")
        if allowed is None and type(value) is not type(default):
            raise ValueError(f"switch {name} takes a {type(default).__name__}, not {value!r}")
        self._settings.append(_Setting(name, value, platform, path, connection_id))

    def get(
        self,
        name: str,
        *,
        platform: str | None = None,
        path: str | None = None,
        connection_id: str | None = None,
    ) -> Any:
        value, _ = _known(name)
        strongest = -1
        for setting in self._settings:
            if (
                setting.name == name
                and setting.conditions >= strongest
                and setting.fits(platform, path, connection_id)
            ):
                value, strongest = setting.value, setting.conditions
        return value

    def clear(self, name: str | None = None) -> None:
        """Set one switch, or all, back to the default."""
        self._settings = [s for s in self._settings if name is not None and s.name != name]

    def as_json(self) -> list[dict[str, Any]]:
        return [vars(setting) for setting in self._settings]


def _known(name: str) -> tuple[Any, tuple[Any, ...] | None]:
    if name not in SWITCHES:
        raise ValueError(f"unknown switch {name!r}; known: {', '.join(sorted(SWITCHES))}")
    return SWITCHES[name]
