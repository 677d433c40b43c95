"""Where the rows of a path are kept. Several paths may show the same rows."""

from __future__ import annotations

from dataclasses import dataclass

from tap_rutter.simulator.documents import Document, Endpoint

STATEMENTS = frozenset(
    {
        "/accounting/balance_sheets",
        "/accounting/cash_flow_statements",
        "/accounting/income_statements",
    }
)
# Endpoints that answer with one object of the connection, without rows.
SINGLETONS = frozenset(
    {
        "/accounting/ap_aging_report_summaries",
        "/accounting/ar_aging_report_summaries",
        "/accounting/company_info",
        "/accounting/reports",
        "/balance",
        "/store",
    }
)
_CHILDREN_OF_ACCOUNTS = ("balance", "details")


@dataclass(frozen=True)
class Place:
    """What a path stands for."""

    endpoint: Endpoint
    """The endpoint that serves the path."""
    storage: str
    """The list that has the rows, as a path without ids."""
    rows: Endpoint
    """An endpoint that has the schema of such a row."""
    parent: str | None = None
    """The parent's id, if the path names a parent: only its rows are shown."""
    key: str | None = None
    """The row's id, if the path names one: only this row is shown."""


def place_of(document: Document, path: str) -> Place | None:
    """The place of a path; None if the API has no such path."""
    segments = path.strip("/").split("/")
    if len(segments) == 3 and segments[-1] == "attachments" and path not in document.endpoints:
        described = document.endpoints.get(f"/accounting/{segments[1]}/{{id}}/attachments")
        return Place(described, path, described) if described is not None else None
    if path.startswith("/banking/bank_accounts/") and segments[-1] in _CHILDREN_OF_ACCOUNTS:
        described = document.endpoints.get(f"/banking/bank_accounts/{{id}}/{segments[-1]}")
        if described is None:
            return None
        storage = f"/banking/bank_accounts/{segments[-1]}"
        return Place(described, storage, described, segments[2] if len(segments) == 4 else None)
    match = document.match(path)
    if match is None:
        return None
    endpoint, values = match
    if not values or "metricName" in values or "entityType" in values:
        return Place(endpoint, path, endpoint)
    template = endpoint.path
    if template.endswith("/{id}/attachments"):
        return Place(endpoint, f"/accounting/{segments[1]}/attachments", endpoint, values["id"])
    if template.endswith("/{id}"):
        storage = template.removesuffix("/{id}")
        rows = place_of(document, storage)
        return Place(endpoint, storage, rows.rows if rows else endpoint, key=values["id"])
    return Place(endpoint, template, endpoint)
