"""What reading a stream needs to know of it."""

from __future__ import annotations

import enum
from typing import Protocol

from tap_rutter.records.fast_path import FastPath


class Changes(enum.Enum):
    """When what a list shows can change."""

    WITH_SYNCS = "when Rutter syncs the connection"
    WITH_MONTHS = "the same, and when a month begins"
    AT_ANY_TIME = "at any time: it is asked for as it is, or made by Rutter itself"


class Facts(Protocol):
    """The facts of a stream that reading it needs (see ``streams/base.py``)."""

    @property
    def name(self) -> str:
        """The stream's name."""

    @property
    def path(self) -> str:
        """The endpoint's path."""

    @property
    def records_key(self) -> str:
        """What the rows stand under in an answer."""

    @property
    def replication_key(self) -> str | None:
        """The field that bookmarks are about."""

    @property
    def replication_key_may_be_null(self) -> bool:
        """Whether rows may lack it."""

    @property
    def is_commerce(self) -> bool:
        """Whether platform data may be asked for though it is not declared."""

    @property
    def is_about_connections(self) -> bool:
        """Whether the rows are about connections in any status, and no merchant's data."""

    @property
    def rutter_object(self) -> str | None:
        """What ``unavailable_objects`` calls the rows."""

    @property
    def changes(self) -> Changes:
        """When its rows can change."""

    @property
    def fast_path(self) -> FastPath | None:
        """The check of rows that may be passed on as they are; None where none may."""
