"""What reading a stream needs to know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tap_rutter.records.fast_path import FastPath

if TYPE_CHECKING:  # a replication is about partitions, and those are about endpoints
    from tap_rutter.replication.base import Replication


class Endpoint(Protocol):
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
    def replication(self) -> Replication:
        """How the rows are read."""

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
    def fast_path(self) -> FastPath | None:
        """The check of rows that may be passed on as they are; None where none may."""
