"""Writes the package: a folder that dbt takes as a project, or as a package of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from tap_rutter import __version__
from tap_rutter.dbt import staging
from tap_rutter.dbt.marts import MARTS, Mart
from tap_rutter.dbt.streams import Table

_SHIPPED = resources.files("tap_rutter.dbt") / "package"
_HEAD = "# Written by rutterctl dbt: run it again rather than edit this file.\n"
_REPORT = "sync_report"
_WARN_HOURS, _ERROR_HOURS = 24, 72


@dataclass(frozen=True)
class Package:
    """The files of a package, and what could not be part of it."""

    files: Mapping[str, str]
    """Contents by path."""
    left_out: Mapping[str, Sequence[str]]
    """Marts that were not written, with the streams and columns that they lack."""


def make_package(tables: Sequence[Table]) -> Package:
    """The package for these streams."""
    by_name = {table.name: table for table in tables}
    marts = [mart for mart in MARTS if not mart.missing(by_name)]
    files = {
        "dbt_project.yml": _HEAD + _yaml(_project()),
        "models/sources.yml": _HEAD + _yaml(_sources(tables)),
        "models/staging/staging.yml": _HEAD + _yaml(_staging(tables)),
        "README.md": _readme(marts),
    }
    for table in tables:
        if table.name == _REPORT:
            continue
        files[f"models/staging/{staging.staging_name(table.name)}.sql"] = staging.living_rows(table)
        if table.line_fields:
            files[f"models/staging/{staging.lines_name(table.name)}.sql"] = staging.lines(table)
    for mart in marts:
        files[f"models/marts/{mart.name}.sql"] = _shipped(f"marts/{mart.name}.sql")
    if marts:
        files["models/marts/marts.yml"] = _HEAD + _yaml(_marts(marts))
    files["macros/rutter.sql"] = _shipped("macros/rutter.sql")
    for name in ("rutter_unique_key", "rutter_reference"):
        files[f"tests/generic/{name}.sql"] = _shipped(f"tests/{name}.sql")
    return Package(files, {mart.name: mart.missing(by_name) for mart in MARTS if mart not in marts})


def _shipped(name: str) -> str:
    return _SHIPPED.joinpath(name).read_text(encoding="utf-8")


def _yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def _project() -> dict[str, Any]:
    return {
        "name": "rutter",
        "version": __version__,
        "config-version": 2,
        "require-dbt-version": [">=1.10.8", "<3.0.0"],
        "profile": "rutter",
        "model-paths": ["models"],
        "macro-paths": ["macros"],
        "test-paths": ["tests"],
        "vars": {
            "rutter_schema": "public",
            "rutter_staging_materialized": "view",
            "rutter_money_out_sign": 1,
        },
    }


# ---- sources


def _sources(tables: Sequence[Table]) -> dict[str, Any]:
    has_report = any(table.name == _REPORT for table in tables)
    return {
        "version": 2,
        "sources": [
            {
                "name": "rutter",
                "description": "Tables that tap-rutter's streams are loaded into.",
                "schema": "{{ var('rutter_schema') }}",
                "tables": [_source(table, has_report=has_report) for table in tables],
            }
        ],
    }


def _source(table: Table, *, has_report: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": table.name,
        "description": table.description,
        "data_tests": _unique(table.key),
        "columns": [_column(table, name) for name in table.columns],
    }
    if has_report:
        entry["config"] = {
            "freshness": {
                "warn_after": {"count": _WARN_HOURS, "period": "hour"},
                "error_after": {"count": _ERROR_HOURS, "period": "hour"},
            },
            # When it was last read completely, of the connection that waited longest.
            "loaded_at_query": _loaded_at(table.name),
        }
    return entry


def _loaded_at(stream: str) -> str:
    report = "{{ source('rutter', 'sync_report') }}"
    which = "true" if stream == _REPORT else f"stream = '{stream}'"
    return (
        "select min(newest) from ("
        f"select max(finished_at) as newest from {report}"
        f" where status = 'complete' and {which} group by connection_id) as reads"
    )


def _column(table: Table, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name}
    if table.columns[name].get("description"):
        entry["description"] = table.columns[name]["description"]
    if name in table.key:
        entry["data_tests"] = ["not_null"]
    return entry


def _unique(key: Sequence[str]) -> list[dict[str, Any]]:
    """The test of a key; none where a stream map has taken the key away."""
    return [{"rutter_unique_key": {"arguments": {"columns": list(key)}}}] if key else []


# ---- models


def _staging(tables: Sequence[Table]) -> dict[str, Any]:
    return {"version": 2, "models": list(_staging_models(tables))}


def _staging_models(tables: Sequence[Table]) -> Iterator[dict[str, Any]]:
    for table in tables:
        if table.name == _REPORT:
            continue
        yield {
            "name": staging.staging_name(table.name),
            "description": f"{table.description} Rows that are not deleted.",
            "data_tests": _unique(table.key),
            "columns": [_tested(table, name) for name in table.columns],
        }
        if table.line_fields:
            yield {
                "name": staging.lines_name(table.name),
                "description": f"The lines of {table.name}, a row each.",
                "data_tests": _unique(("connection_id", "parent_id", "line_number")),
                "columns": [{"name": name} for name in staging.line_columns(table)],
            }


def _tested(table: Table, name: str) -> dict[str, Any]:
    entry = _column(table, name)
    tests: list[Any] = entry.setdefault("data_tests", [])
    # Rutter adds values without a new version, and a reference may rightly lead nowhere: warnings.
    if name in table.values:
        tests.append(
            {
                "accepted_values": {
                    "arguments": {"values": list(table.values[name])},
                    "config": {"severity": "warn"},
                }
            }
        )
    if name in table.references:
        to = f"ref('{staging.staging_name(table.references[name])}')"
        tests.append(
            {"rutter_reference": {"arguments": {"to": to}, "config": {"severity": "warn"}}}
        )
    if not tests:
        del entry["data_tests"]
    return entry


def _marts(marts: Sequence[Mart]) -> dict[str, Any]:
    return {
        "version": 2,
        "models": [
            {
                "name": mart.name,
                "description": mart.description,
                "data_tests": _unique(mart.key),
                "columns": [
                    {"name": name, "description": meaning}
                    | ({"data_tests": ["not_null"]} if name in mart.not_null else {})
                    for name, meaning in mart.columns.items()
                ],
            }
            for mart in marts
        ],
    }


def _readme(marts: Sequence[Mart]) -> str:
    listed = "\n".join(f"- `{mart.name}`: {mart.description}" for mart in marts)
    return _shipped("README.md").replace("%(version)s", __version__).replace("%(marts)s", listed)
