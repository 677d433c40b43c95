"""``rutterctl dbt`` writes what settings and catalog select; what is the user's stays."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from click.testing import CliRunner, Result

from tap_rutter.cli.rutterctl import main
from tap_rutter.tap import TapRutter


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["dbt", *arguments])


def written(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def catalog_of(*streams: str, without: str = "") -> dict[str, object]:
    tap = TapRutter(config={}, validate_config=False)
    catalog = json.loads(json.dumps(tap.catalog_dict))
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if not entry["breadcrumb"]:
                entry["metadata"]["selected"] = stream["tap_stream_id"] in streams
            elif entry["breadcrumb"] == ["properties", without]:
                entry["metadata"]["selected"] = False
    return dict(catalog)


def test_every_stream_is_a_source_with_its_columns_and_its_key(tmp_path: Path) -> None:
    done = run("--output", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    content = yaml.safe_load((tmp_path / "out/models/sources.yml").read_text(encoding="utf-8"))
    tables = {entry["name"]: entry for entry in content["sources"][0]["tables"]}
    tap = TapRutter(config={}, validate_config=False)
    assert set(tables) == {stream.name for stream in tap.rutter_streams}
    for stream in tap.rutter_streams:
        table = tables[stream.name]
        assert [c["name"] for c in table["columns"]] == list(stream.schema["properties"])
        (unique,) = table["data_tests"]
        key = unique["rutter_unique_key"]["arguments"]["columns"]
        assert key == list(stream.primary_keys)
        assert {c["name"] for c in table["columns"] if "data_tests" in c} == set(key)


def test_a_catalog_selects_streams_and_columns(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.json"
    chosen = catalog_of("accounting_bills", "accounting_vendors", without="memo")
    catalog.write_text(json.dumps(chosen), encoding="utf-8")
    out = tmp_path / "out"
    done = run("--output", str(out), "--catalog", str(catalog))
    assert done.exit_code == 0, done.output
    models = {
        Path(name).stem for name in written(out) if name.endswith(".sql") and "models" in name
    }
    assert models == {
        "stg_rutter__accounting_bills",
        "stg_rutter__accounting_bills_lines",
        "stg_rutter__accounting_vendors",
    }
    bills = (out / "models/staging/stg_rutter__accounting_bills.sql").read_text(encoding="utf-8")
    assert '"vendor_id"' in bills
    assert '"memo"' not in bills
    staging = yaml.safe_load((out / "models/staging/staging.yml").read_text(encoding="utf-8"))
    tested = {c["name"]: c for c in staging["models"][0]["columns"]}
    reference = tested["vendor_id"]["data_tests"][0]["rutter_reference"]
    assert reference["arguments"]["to"] == "ref('stg_rutter__accounting_vendors')"
    # A stream that is not selected cannot be pointed at.
    assert "data_tests" not in tested["account_id"]
    # What a model lacks is said.
    assert "rutter_open_items, which needs accounting_invoices" in done.output


def test_only_columns_that_stream_maps_let_through_are_in_the_package(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    maps = {
        "accounting_invoices": {"memo": "__NULL__", "status": "sha256(status)", "month": "id[:7]"},
        "accounting_vendors": None,
        "commerce_orders": {"line_items": "__NULL__"},
        "hris_employees": {"__key_properties__": None, "id": "__NULL__"},
    }
    config.write_text(json.dumps({"stream_maps": maps}), encoding="utf-8")
    out = tmp_path / "out"
    done = run("--output", str(out), "--config", str(config))
    assert done.exit_code == 0, done.output
    invoices = (out / "models/staging/stg_rutter__accounting_invoices.sql").read_text("utf-8")
    assert '"memo"' not in invoices
    assert '"month"' in invoices
    assert not written(out) & {
        "models/staging/stg_rutter__accounting_vendors.sql",
        "models/staging/stg_rutter__commerce_orders_lines.sql",
    }
    staging = yaml.safe_load((out / "models/staging/staging.yml").read_text(encoding="utf-8"))
    models = {entry["name"]: entry for entry in staging["models"]}
    assert all(isinstance(test, dict) for m in models.values() for test in m["data_tests"])
    columns = {c["name"]: c for c in models["stg_rutter__accounting_invoices"]["columns"]}
    # A hash is none of the values that Rutter describes.
    assert "data_tests" not in columns["status"]
    assert not models["stg_rutter__hris_employees"].get("data_tests")


def test_an_api_version_without_the_columns_has_no_such_model(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"api_version": "2023-02-07"}), encoding="utf-8")
    done = run("--output", str(tmp_path / "out"), "--config", str(config))
    assert done.exit_code == 0, done.output
    assert "accounting_bill_payments.linked_bills" in done.output
    assert "models/marts/rutter_open_items.sql" not in written(tmp_path / "out")
    assert "models/marts/rutter_monthly_revenue.sql" in written(tmp_path / "out")


def test_written_again_it_drops_its_own_files_and_keeps_the_users(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("--output", str(out)).exit_code == 0
    everything = written(out)
    own = out / "models/staging/stg_rutter__of_my_own.sql"
    own.write_text("select 1", encoding="utf-8")
    catalog = tmp_path / "catalog.json"
    catalog.write_text(json.dumps(catalog_of("accounting_vendors")), encoding="utf-8")
    assert run("--output", str(out), "--catalog", str(catalog)).exit_code == 0
    assert own.exists()
    assert not (out / "models/staging/stg_rutter__commerce_orders.sql").exists()
    assert run("--output", str(out)).exit_code == 0
    assert written(out) == everything | {"models/staging/stg_rutter__of_my_own.sql"}


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: theirs\n", encoding="utf-8")
    done = run("--output", str(tmp_path))
    assert done.exit_code == 1
    assert "was not written by rutterctl dbt" in done.output
    assert written(tmp_path) == {"dbt_project.yml"}


def test_settings_that_cannot_be_used_are_told_in_one_line(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"api_version": "2020-01-01"}), encoding="utf-8")
    done = run("--output", str(tmp_path / "out"), "--config", str(config))
    assert done.exit_code == 2
    assert "Error: Setting 'api_version'" in done.output
    assert not (tmp_path / "out").exists()
