"""``rutterctl dbt``: writes the dbt package for the selected streams."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import click

from tap_rutter.config import read_files, read_json
from tap_rutter.dbt.package import Package, make_package
from tap_rutter.dbt.streams import tables_of
from tap_rutter.tap import TapRutter

_WRITTEN = ".rutterctl-dbt"
"""Which files an earlier package consisted of: what else is in the folder is the user's own."""


def write_package(
    output: Path, settings: list[str], catalog: IO[str] | None, *, from_variables: bool
) -> Package:
    """Write the package into a folder; files of an earlier one that it no longer has are removed.

    Args:
        output: The folder, made if need be.
        settings: JSON files of the tap's settings; none need credentials here.
        catalog: A catalog of the tap, which selects streams and columns; without it: all.
        from_variables: Whether variables such as TAP_RUTTER_API_VERSION count too.

    Raises:
        ConfigError: for settings or a catalog that cannot be used.
        click.ClickException: for a folder that is not empty and holds no such package.
    """
    given: Any = None if catalog is None else read_json(catalog, "catalog")
    tap = TapRutter(
        config=read_files(settings),
        catalog=given,
        parse_env_config=from_variables,
        validate_config=False,
    )
    package = make_package(tables_of(tap))
    written = output / _WRITTEN
    if output.exists() and any(output.iterdir()) and not written.is_file():
        raise click.ClickException(
            f"{output} is not empty, and was not written by rutterctl dbt: name another folder."
        )
    before = written.read_text(encoding="utf-8").splitlines() if written.is_file() else []
    for name in before:
        if name not in package.files:
            _inside(output, name).unlink(missing_ok=True)
    for name, content in {**package.files, _WRITTEN: "\n".join(package.files) + "\n"}.items():
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return package


def _inside(folder: Path, name: str) -> Path:
    """A file of the folder; one that a list names outside of it is taken for its last part."""
    path = folder / name
    return path if path.resolve().is_relative_to(folder.resolve()) else folder / Path(name).name
