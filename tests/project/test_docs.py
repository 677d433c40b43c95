"""The documentation says what the code does: its generated parts are up to date."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tap_rutter.streams import STREAMS
from tap_rutter.streams.base import SyncedStream

ROOT = Path(__file__).resolve().parents[2]


def build(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "build_docs.py"), *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_generated_parts_are_up_to_date() -> None:
    result = build("--check")
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_setting_and_stream_is_in_the_readme() -> None:
    from tap_rutter.settings_schema import JSONSCHEMA
    from tap_rutter.streams import STREAMS, name_of

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in JSONSCHEMA["properties"] if f"| `{name}` |" not in readme]
    missing += [name_of(stream) for stream in STREAMS if f"| `{name_of(stream)}` |" not in readme]
    assert not missing


def test_sql_on_the_pages_names_the_schema_of_the_tables() -> None:
    from tap_rutter.streams import name_of

    tables = "|".join(name_of(stream) for stream in STREAMS)
    bare = re.compile(rf"\b(?:from|join|update|into)\s+(?:{tables})\b")
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for block in re.findall(r"```sql\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            assert not bare.search(block), f"{page.name}: {block}"


# ---- what generation does


@pytest.fixture(scope="module", name="builder")
def _builder() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield importlib.import_module("build_docs")


@pytest.fixture(name="root")
def _root(builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the documentation, which the script takes for the repository's."""
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / "plugins", tmp_path / "plugins")
    monkeypatch.setattr(builder, "ROOT", tmp_path)
    return tmp_path


def test_a_stale_part_is_named_with_the_command_that_writes_it(
    builder: ModuleType, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme, page = root / "README.md", root / "docs" / "streams" / "ads.md"
    whole = {file: file.read_text() for file in (readme, page)}
    readme.write_text(whole[readme].replace("| `accounting_bills` |", "| `bills` |"))
    page.write_text(whole[page].replace("## ads_campaigns\n", ""))

    assert builder.main(["--check"]) == 1
    err = capsys.readouterr().err
    for name in ("README.md", "docs/streams/ads.md"):
        assert f"{name}: not up to date; to write it: make docs" in err

    assert builder.main([]) == 0
    assert {file: file.read_text() for file in whole} == whole
    assert builder.main(["--check"]) == 0


def test_a_family_without_a_page_gets_one(builder: ModuleType, root: Path) -> None:
    page = root / "docs" / "streams" / "supplier_enablement.md"
    generated = page.read_text().partition("<!-- begin: ")[2]
    page.unlink()

    assert builder.main(["--check"]) == 1
    assert not page.exists()
    assert builder.main([]) == 0
    assert page.read_text().startswith("# Supplier enablement\n")
    assert page.read_text().partition("<!-- begin: ")[2] == generated


@pytest.mark.parametrize(
    ("page", "before", "after", "complaint"),
    [
        ("README.md", "<!-- begin: settings -->", "", "README.md: the marks of part 'settings'"),
        (
            "README.md",
            "# tap-rutter\n",
            "<!-- begin: x --><!-- end: x -->\n",
            "README.md: no generated part",
        ),
        ("docs/upgrading.md", ": differences -->", "", "'differences' is on no page"),
        ("docs/streams/ads.md", ": streams-ads -->", "", "'streams-ads' is on no page"),
    ],
)
@pytest.mark.parametrize("arguments", [["--check"], []])
def test_marks_that_are_missing_are_said(
    builder: ModuleType,
    root: Path,
    capsys: pytest.CaptureFixture[str],
    page: str,
    before: str,
    after: str,
    complaint: str,
    arguments: list[str],
) -> None:
    text = (root / page).read_text()
    assert before in text
    (root / page).write_text(text.replace(before, after))

    assert builder.main(arguments) == 2
    assert complaint in capsys.readouterr().err


class ImaginaryThings(SyncedStream):
    """Things that Rutter does not have."""

    name = "accounting_imaginary_things"
    path = "/accounting/imaginary_things"
    component = "ImaginaryThing"


def test_what_the_documents_lack_is_said_before_anything_is_generated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    check = importlib.import_module("check_streams")
    assert (check.main(), capsys.readouterr().err) == (0, "")
    monkeypatch.setattr(check, "STREAMS", (*STREAMS, ImaginaryThings))
    assert check.main() == 1
    err = capsys.readouterr().err
    assert "'accounting_imaginary_things'" in err
    assert "/accounting/imaginary_things" in err
    assert "make openapi VERSION=2024-08-31 SOURCE=" in err


# ---- the commands


def make(*args: str) -> subprocess.CompletedProcess[str]:
    if not (ROOT / ".venv" / ".tools-installed").exists():
        pytest.skip("the tools are not installed by make")
    # Whatever is installed, and wherever: nothing is to be installed by a test.
    done = [f"--old-file=.venv/{name}" for name in (".tools-installed", ".demo-installed")]
    command = ["make", "--no-print-directory", *done, *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_make_help_lists_every_command() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", "")
    (phony,) = re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE)
    listed = re.findall(r"^  make (\S+) +\S", make("help").stdout, re.MULTILINE)
    assert sorted(listed) == sorted(phony.split())
    assert {"openapi", "golden", "docs", "docs-check", "format"} <= set(listed)


def test_make_openapi_says_what_it_needs() -> None:
    without = make("openapi", "VERSION=")
    assert without.returncode != 0
    assert "make openapi VERSION=2024-08-31 SOURCE=description.yaml" in without.stderr


def test_make_openapi_hands_over_version_and_source(tmp_path: Path) -> None:
    source, before = tmp_path / "a description.json", (ROOT / "tap_rutter" / "openapi").glob("*")
    unchanged = {file: file.read_bytes() for file in before if file.is_file()}
    shutil.copy(ROOT / "tests" / "data" / "openapi_small.json", source)

    derived = make("openapi", "VERSION=2024-04-30", "ARGS=--check")
    other = make("openapi", "VERSION=2024-08-31", f"SOURCE={source}", "ARGS=--check")

    assert (derived.returncode, derived.stderr) == (0, "")
    assert "2024-04-30: " in derived.stdout
    # Its fixes speak of what this small description does not have.
    assert other.returncode != 0
    assert re.match(r"update_openapi: component \w+ is not in the document", other.stderr)
    assert {file: file.read_bytes() for file in unchanged} == unchanged


@pytest.mark.parametrize(
    ("command", "recipe"),
    [
        ("docs", "scripts/build_docs.py"),
        ("golden", "UPDATE_GOLDEN=1 .* tests/project/test_golden_catalog.py"),
        ("docs-check", "scripts/build_docs.py --check"),
        ("format", "ruff format"),
    ],
)
def test_what_make_runs_is_there(command: str, recipe: str) -> None:
    planned = make("--dry-run", command).stdout
    assert re.search(recipe, planned)
    files = re.findall(r"(?:scripts|tests)/\w+\.py", planned)
    assert all((ROOT / file).is_file() for file in files)
    # What would otherwise be generated without the stream, or end in a traceback, is said first.
    assert command == "format" or files[0] == "scripts/check_streams.py"


def test_make_docs_check_checks_generated_parts_and_links() -> None:
    done = make("docs-check")
    assert done.returncode == 0, done.stderr
    assert "All generated parts" in done.stdout
    assert "All links" in done.stdout
