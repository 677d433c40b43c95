"""Places in a description of the API, for messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace


class UnreadableError(Exception):
    """The source has a form that cannot be read. The message is one line, and says where."""


@dataclass(frozen=True)
class Place:
    """A place in a description, for messages.

    It names the endpoint, the field in its answer (or the parameter), and the component in which
    the field is written, where a reader of the description has to look.
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
    """Inside this block, make errors of a malformed description say where it is malformed."""
    try:
        yield
    except RecursionError as error:
        raise UnreadableError(f"{place}: it is nested too deeply") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"{place}: it is not written as OpenAPI 3 asks") from error
