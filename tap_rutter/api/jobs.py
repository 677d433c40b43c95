"""Answers that come later, by way of a job: ``async_response`` and ``/jobs/{id}``.

Where a statement takes Rutter more than about 30 seconds, it answers with a job instead of the
statement, whatever the request asked for. The job is polled until it ends. Its response then holds
the body that the list would have had. Two forms of a job are documented: flat, and inside ``job``.

A job may end as ``partial_success``. Its rows are then taken, and the page says that rows may be
missing.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import Any

from tap_rutter.api.body import missing, open_body
from tap_rutter.api.client import Client
from tap_rutter.api.json_text import ENCODER, decode_marked, decode_value
from tap_rutter.api.list_decoder import ListDecoder
from tap_rutter.api.pages import Page
from tap_rutter.api.request import Counts, Request, Response
from tap_rutter.errors import (
    ErrorBody,
    NotActivated,
    PartitionFailed,
    RequestFailed,
    Unsupported,
    error_body,
    error_for_response,
)
from tap_rutter.redact import redact

logger = logging.getLogger("tap-rutter")

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0  # seconds between two polls
_DONE = "success"
_WAITING = {"prequeued", "pending", "queued", "in_progress", "processing", "running", "started"}
# Rutter documents success, prequeued, pending, partial_success and failure. The other words are
# taken to mean what they mean in other APIs.
_PARTIAL = {"partial_success", "succeeded", "completed", "complete", "done", "finished"}
_FAILED = {
    *("failure", "failed", "error", "errored", "rejected", "aborted"),
    *("cancelled", "canceled", "expired", "timeout", "timed_out"),
}
_LONGEST_STATUS = 40


@dataclass(frozen=True)
class Promise:
    """An answer that is not ready yet."""

    job_id: str


def get_list(
    client: Client, request: Request, decoder: ListDecoder, key: str, counts: Counts
) -> Page:
    """A list's page, at once or by way of a job.

    Raises:
        RequestFailed: for a job that failed or takes longer than ``max_retry_seconds``.
    """

    def decode(response: Response) -> Page | Promise:
        outer = open_body(response.content)
        if key in outer or "async_response" not in outer:
            return decoder(response)
        promised = decode_value(outer["async_response"])
        job_id = promised.get("id") if isinstance(promised, dict) else None
        if not isinstance(job_id, str) or not job_id:
            raise missing(response.content, key, request.path)
        return Promise(job_id)

    page = client.get(request, decode, counts)
    if isinstance(page, Promise):
        response, status = _wait(client, request, page.job_id, counts)
        page = decoder(response)
        if status != _DONE:
            said = f"{request.path}: Rutter's job ended as {status}, so rows may be missing"
            page = replace(page, partial=said)
    return page


def _wait(client: Client, request: Request, job_id: str, counts: Counts) -> tuple[Response, str]:
    """Poll a job until it ends; returns its response and its last status."""
    path = f"/jobs/{_safe(job_id, request)}"
    until = time.monotonic() + client.settings.max_retry_seconds
    wait = _FIRST_WAIT
    connection_id: str | None = None
    puzzled = False
    while True:
        try:
            job, received = client.get(Request(path, {}, connection_id), _decode_job, counts)
        except RequestFailed as error:
            # No parameter is documented for jobs, not even the access token that all other requests
            # need.
            if connection_id is None and error.status in {400, 401, 403}:
                connection_id = request.connection_id
                continue
            if isinstance(error, Unsupported):
                # The job is missing, not the list: the list was there, and promised an answer.
                raise PartitionFailed(
                    error.message, reason="bad_response", status=error.status, code=error.code
                ) from None
            raise
        status = str(job["status"]).lower()
        if _has_ended(job, status):
            return _response(job, status, received, request), status
        if status not in _WAITING and not puzzled:
            puzzled = True
            logger.warning(
                "%s: Rutter's job has the status '%s', which is not known: it is polled further.",
                request.path,
                redact(status)[:_LONGEST_STATUS],
            )
        if time.monotonic() + wait > until:
            raise PartitionFailed(
                f"{request.path}: Rutter's job was still {status[:_LONGEST_STATUS]} after"
                f" {client.settings.max_retry_seconds} seconds",
                reason="retries_exhausted",
            )
        client.throttle.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT)


def _has_ended(job: dict[str, Any], status: str) -> bool:
    """Whether a job has ended: its status says so, or its answer is there."""
    if status == _DONE or status in _PARTIAL | _FAILED:
        return True
    response = job.get("response")
    return status not in _WAITING and isinstance(response, dict) and "body" in response


def _safe(job_id: str, request: Request) -> str:
    """A job's id as part of a path. An odd id from the server must not lead to another path."""
    if not job_id.replace("-", "").replace("_", "").isalnum() or not job_id.isascii():
        raise PartitionFailed(
            f"{request.path} answered with a job whose id cannot be part of an address",
            reason="bad_response",
            status=200,
        )
    return job_id


def _decode_job(response: Response) -> tuple[dict[str, Any], int]:
    outer = open_body(response.content)
    job = {name: decode_marked(raw) for name, raw in outer.items()}
    if isinstance(job.get("job"), dict):
        job = job["job"]
    if not isinstance(job.get("status"), str):
        raise missing(response.content, "status", "/jobs")
    return job, response.received_ms


def _response(job: dict[str, Any], status: str, received: int, request: Request) -> Response:
    response = job.get("response")
    response = response if isinstance(response, dict) else {}
    body = response.get("body")
    if isinstance(body, str):
        body = _decoded(body)
    code = response.get("http_status")
    # Incomplete rows are taken. A job that ended without rows, or failed, is an error.
    has_rows = isinstance(body, dict) and error_body(ENCODER.encode(body)) is None
    is_refused = isinstance(code, int) and code >= 400
    if is_refused or (status != _DONE and not (has_rows and status not in _FAILED)):
        said = body if isinstance(body, dict) else {}
        error = ErrorBody(
            error_code=_text(said.get("error_code")),
            error_message=_text(said.get("error_message")) or f"its job ended as {status}",
        )
        failed = error_for_response(
            code if isinstance(code, int) else 500, error, where=request.path, sorted_list=False
        )
        if isinstance(failed, NotActivated):
            raise failed
        raise PartitionFailed(
            failed.message, reason=failed.reason, status=failed.status, code=failed.code
        )
    return Response(ENCODER.encode(body), received)


def _decoded(text: str) -> Any:
    try:
        return decode_marked(text.encode())
    except ValueError:
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
