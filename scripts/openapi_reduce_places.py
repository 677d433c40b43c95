"""Where something stands in a description of the API, so that every message can say it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace


class UnreadableError(Exception):
    """The source has a shape that cannot be read; the message is one line and says where."""


@dataclass(frozen=True)
class Place:
    """Where something stands in a description, for messages.

    Given are the endpoint, the field in its answer (or the parameter), and the component that it
    is written in: that is where a reader of the description has to look.
    """

    path: str
    parameter: str = ""
    field: str = ""
    component: str = ""
    component_field: str = ""

    def at(self, step: str) -> Place:
        """The place of a field (``.name``), of an array's items (``[]``), of a map's values."""
        inner = (self.component_field + step).removeprefix(".") if self.component else ""
        field = (self.field + step).removeprefix(".")
        return replace(self, field=field, component_field=inner)

    def within(self, reference: str) -> Place:
        """The same place, in the component that a reference leads to."""
        name = reference.rsplit("/", 1)[-1]
        return replace(self, component=name, component_field="")

    def __str__(self) -> str:
        parts = [f"GET {self.path}"]
        if self.parameter:
            parts.append(f"parameter {self.parameter}")
        if self.field:
            parts.append(f"field {self.field}")
        text = ", ".join(parts)
        if self.component:
            field = f", field {self.component_field}" if self.component_field else ""
            text += f" (component {self.component}{field})"
        return text


@contextmanager
def named(place: Place) -> Iterator[None]:
    """Say where it stands if something is not written as OpenAPI asks."""
    try:
        yield
    except RecursionError as error:
        raise UnreadableError(f"{place}: it is nested too deeply") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"{place}: it is not written as OpenAPI 3 asks") from error
