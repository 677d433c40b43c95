"""What a fault does to a request and its answer."""

from __future__ import annotations

import base64
import re
from dataclasses import replace

from tap_rutter.simulator.faults import Fault
from tap_rutter.simulator.request import Answer, Request
from tap_rutter.simulator.text import encode, to_bytes

_HTML = b"<!doctype html><html><body><h1>We'll be right back</h1></body></html>"
_NEXT = re.compile(rb'"next_cursor":(?:null|"[^"]*")')


def replaced(fault: Fault | None) -> Answer | None:
    """The answer of a fault that replaces the API's answer; None if it does not replace it."""
    if fault is None:
        return None
    match fault.action:
        case "respond":
            is_json = fault.body.startswith(("{", "["))
            kind = "application/json" if is_json else "text/plain"
            body = fault.raw or to_bytes(fault.body)
            return Answer(fault.status, body, kind, dict(fault.headers), is_gateways=not is_json)
        case "redirect":
            headers = {"Location": "https://elsewhere.example/"} | fault.headers
            return Answer(302, b"", headers=headers)
        case "html":
            kind = "text/html; charset=utf-8"
            return Answer(200, _HTML, kind, dict(fault.headers), is_gateways=True)
        case "no_list":
            return Answer(200, b'{"message":"nothing of what was asked for"}')
        case _:
            return None


def asked(request: Request, fault: Fault | None) -> Request:
    """The request that the API answers under a fault."""
    if fault is None or fault.action != "endless":
        return request
    return replace(request, pairs=[pair for pair in request.pairs if pair[0] != "cursor"])


def spoiled(answer: Answer, request: Request, fault: Fault | None) -> Answer:
    """The API's answer, changed by the fault."""
    if fault is None or answer.status != 200:
        return answer
    match fault.action:
        case "broken_json":
            return replace(answer, body=answer.body[: len(answer.body) // 2])
        case "repeat_cursor" if "cursor" in request.params:
            return _with_cursor(answer, request.params["cursor"])
        case "endless":
            fresh = base64.b64encode(f"{request.number}_{request.number}".encode()).decode()
            return _with_cursor(answer, fresh)
        case _:
            return answer


def _with_cursor(answer: Answer, cursor: str) -> Answer:
    said = b'"next_cursor":' + encode(cursor).encode()
    body, found = _NEXT.subn(lambda _: said, answer.body)
    if not found:
        body = answer.body[:-1] + b"," + said + b"}"
    return replace(answer, body=body)
