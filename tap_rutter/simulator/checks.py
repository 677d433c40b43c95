"""Checks of requests: what a request must have, and what it must not have."""

from __future__ import annotations

import base64
import binascii
import re

from tap_rutter.simulator.documents import Endpoint, Parameter
from tap_rutter.simulator.errors import ApiError, bad_request, unauthorized
from tap_rutter.simulator.request import Request
from tap_rutter.simulator.tables import EXPANDABLE

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_INTEGER = re.compile(r"-?\d+")


def check_credentials(request: Request, client_id: str, client_secret: str) -> None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise unauthorized("HTTP Basic credentials are required")
    try:
        given = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise unauthorized("the Basic credentials cannot be read") from None
    if given != f"{client_id}:{client_secret}":
        raise unauthorized("unknown client id or client secret")


def check_version(request: Request, served: str, known: list[str]) -> None:
    asked = request.headers.get("x-rutter-version")
    if asked is None:
        raise bad_request("MISSING_VERSION", "the header X-Rutter-Version is required")
    if asked not in known:
        raise bad_request("INVALID_VERSION", f"unknown API version {asked}; known: {known}")
    if asked != served:
        raise bad_request(
            "INVALID_VERSION", f"this simulated world speaks API version {served}, not {asked}"
        )


def check_parameters(
    request: Request, endpoint: Endpoint, tolerated: frozenset[str] = frozenset()
) -> dict[str, str]:
    """The parameters by name. `tolerated` ones are accepted though the document lacks them."""
    given: dict[str, str] = {}
    for name, value in request.pairs:
        if name in given:
            raise bad_request("INVALID_PARAMETER", f"parameter {name} is given twice")
        given[name] = value
        parameter = endpoint.parameters.get(name)
        if parameter is not None:
            _check_value(parameter, value, name in tolerated)
        elif name == "expand" and name in tolerated:
            _check_value(Parameter(name, False, "string", ()), value, True)
        elif name not in tolerated:
            raise bad_request("UNKNOWN_PARAMETER", f"{endpoint.path} takes no parameter {name}")
    for parameter in endpoint.parameters.values():
        if parameter.required and parameter.name not in given:
            raise bad_request("MISSING_PARAMETER", f"parameter {parameter.name} is required")
    return given


def _check_value(parameter: Parameter, value: str, tolerated: bool) -> None:
    allowed = parameter.enum
    values = [value]
    if parameter.name == "expand" and (tolerated or not allowed):
        allowed, values = EXPANDABLE, value.split(",")
    if allowed and not set(values) <= set(allowed):
        raise _invalid(parameter.name, value, f"one of {', '.join(allowed)}")
    if parameter.type == "number" and not _NUMBER.fullmatch(value):
        raise _invalid(parameter.name, value, "a number")
    if parameter.type == "integer" and not _INTEGER.fullmatch(value):
        raise _invalid(parameter.name, value, "an integer")


def _invalid(name: str, value: str, expected: str) -> ApiError:
    return bad_request("INVALID_PARAMETER", f"{name} must be {expected}, not {value!r}")


def limit_of(params: dict[str, str], default: int, maximum: int, *, clamp: bool) -> int:
    """Rows per page. A switch says whether more than the maximum is refused or reduced."""
    text = params.get("limit")
    if text is None:
        return default
    if not _INTEGER.fullmatch(text) or int(text) < 1:
        raise _invalid("limit", text, "a positive integer")
    limit = int(text)
    if limit > maximum and not clamp:
        raise _invalid("limit", text, f"at most {maximum}")
    return min(limit, maximum)


def milliseconds(name: str, text: str) -> int:
    """A time parameter: Unix milliseconds, even if the document declares a string."""
    if not _NUMBER.fullmatch(text):
        raise _invalid(name, text, "a time in Unix milliseconds")
    return int(float(text)) if "." in text else int(text)
