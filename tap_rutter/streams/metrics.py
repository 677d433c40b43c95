"""Figures that Rutter computes, and the definitions of custom fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tap_rutter.api.json_text import ENCODER
from tap_rutter.replication.base import Replication
from tap_rutter.replication.endpoint import Changes
from tap_rutter.replication.per_name import PerName
from tap_rutter.schema.json_schema import ARRAY, BOOLEAN, JSONSchema
from tap_rutter.streams.base import MadeStream, text_columns, time_columns

_LINE_ITEMS = "line_items"

NO_CURRENCY = "*"
"""The currency of a ratio, which has none. The column is part of the key, so it is not ""."""


def _metric_rows(metric: str, body: dict[str, Any]) -> list[dict[str, Any]] | None:
    """A metric's values, one row each."""
    values = body.get(metric)
    if not isinstance(values, list):
        return None
    return [
        {
            "metric": metric,
            "start_date": value.get("start_date"),
            "end_date": value.get("end_date"),
            "currency": value.get("currency") or NO_CURRENCY,
            "value": value.get("value"),
            "checkpoint": body.get("checkpoint"),
        }
        for value in values
        if isinstance(value, dict)
    ]


class Metrics(MadeStream):
    """Figures of a business over time, as Rutter computes them."""

    primary_keys = ("connection_id", "metric", "start_date", "end_date", "currency")
    is_optional = True
    changes = Changes.AT_ANY_TIME  # days and months go by
    replication: ClassVar[Replication] = PerName(parameter="metricName", rows=_metric_rows)
    columns: ClassVar[Mapping[str, JSONSchema]] = {
        **text_columns(["metric", "start_date", "end_date", "currency", "value"]),
        **time_columns(["checkpoint"]),
    }


class AccountingMetrics(Metrics):
    """Ratios and totals of a ledger over time, as Rutter computes them."""

    name = "accounting_metrics"
    path = "/accounting/metrics/{metricName}"


class CommerceMetrics(Metrics):
    """Totals of a shop over time, as Rutter computes them."""

    name = "commerce_metrics"
    path = "/commerce/metrics/{metricName}"


def _custom_field_rows(entity_type: str, body: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The custom fields of one type of entity and of its lines, one row each."""
    sections = body.get("custom_fields")
    if not isinstance(sections, dict):
        return None
    rows = []
    for name, fields in sections.items():
        # In answers, the entity's own name may stand where the API document says "entity".
        section = _LINE_ITEMS if name.endswith(_LINE_ITEMS) else "entity"
        for field in fields if isinstance(fields, list) else ():
            default = field.get("default")
            rows.append(
                {
                    **field,
                    "entity_type": entity_type,
                    "section": section,
                    "default": None if default is None else ENCODER.encode(default).decode(),
                }
            )
    return rows


class CustomFields(MadeStream):
    """The custom fields that a ledger has for its objects; their values are in platform_data."""

    name = "accounting_custom_fields"
    path = "/accounting/{entityType}/custom_fields"
    primary_keys = ("connection_id", "entity_type", "section", "key")
    replication: ClassVar[Replication] = PerName(
        parameter="entityType", rows=_custom_field_rows, params={"platform_fields": "true"}
    )
    columns: ClassVar[Mapping[str, JSONSchema]] = {
        **text_columns(["entity_type", "section", "key", "name", "type", "description"]),
        "required": BOOLEAN,
        "options": ARRAY,
        **text_columns(["default"]),
    }
