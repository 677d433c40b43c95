"""Monthly statements, and jobs for slow answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tap_rutter.simulator.errors import ApiError, bad_request
from tap_rutter.simulator.factory import months
from tap_rutter.simulator.tables import Bounds
from tap_rutter.simulator.text import decode, encode, parse_iso, to_bytes

_MONTH = 31 * 86_400_000


@dataclass
class Job:
    """An answer that is not ready yet; `body` is JSON text."""

    id: str
    url: str
    body: bytes
    polls_left: int
    result: str
    """The status with which it ends."""
    connection_id: str

    def poll(self) -> str:
        """The status now. Each call brings the job nearer to its end."""
        if self.polls_left > 0:
            self.polls_left -= 1
            return "prequeued" if self.polls_left else "pending"
        return self.result

    def response(self) -> tuple[bytes, bytes]:
        """Status and body of the job's answer, as JSON texts."""
        if self.result == "failure":
            return b"500", to_bytes(encode(failed_body()))
        if self.result == "partial_success":
            return b"200", to_bytes(encode(_halved(decode(self.body))))
        return b"200", self.body


def _halved(body: dict[str, Any]) -> dict[str, Any]:
    """An answer with only every other row of its lists."""
    return {name: value[::2] if isinstance(value, list) else value for name, value in body.items()}


def month_bounds(params: dict[str, str], now: int, default_months: int) -> Bounds:
    """Bounds on `start_date` that include the whole months of both dates."""
    last = _date("end_date", params) or now
    first = _date("start_date", params)
    if first is None:
        return months(last - (default_months + 1) * _MONTH, last)[-default_months], last
    if first > last:
        raise bad_request("INVALID_PARAMETER", "start_date is after end_date")
    return months(first, first)[0], last


def _date(name: str, params: dict[str, str]) -> int | None:
    if name not in params:
        return None
    found = parse_iso(params[name])
    if found is None:
        raise bad_request("INVALID_PARAMETER", f"{name} must be an ISO 8601 date")
    return found


def describe_job(job: Job, status: str, shape: str) -> dict[str, Any]:
    """A job as in /jobs/{id}. The caller adds the body of its answer."""
    told: dict[str, Any] = {
        "id": job.id,
        "status": status,
        "request": {"method": "GET", "url": job.url, "body": None},
    }
    if shape == "wrapped":
        return {"type": "JOB", "code": "JOB_COMPLETED", "job": told}
    return told


def failed_body() -> dict[str, Any]:
    return ApiError(500, "INTERNAL_ERROR", "INTERNAL_SERVER_ERROR", "the job failed").body()


def job_url(base: str, job_id: str, shape: str) -> str:
    # One published example has an address under another root, which the simulator does not serve.
    return f"{base}/v2/jobs/{job_id}" if shape == "wrapped" else f"{base}/jobs/{job_id}"
