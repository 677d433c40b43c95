"""Make the API documents in tap_rutter/openapi from published descriptions.

    make openapi VERSION=2024-08-31 SOURCE=description.yaml   # a file or a URL
    make openapi VERSION=2024-04-30                           # derived from its neighbours

Both run python scripts/update_openapi.py --version VERSION [SOURCE]. SOURCE is a published OpenAPI
3 description (JSON or YAML), or its facts form. It is reduced to its facts, the version's fixes in
scripts/openapi_fixes.json are applied, and the changes against the document on disk are printed.
The versions that are derived from this one are made again too. Nobody edits a document by hand: a
correction is a fix with its reason. With --check nothing is written, and the exit code is 1 if a
document on disk differs.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from openapi_reduce import read_source
from openapi_reduce_fixes import FixError, apply_fixes
from openapi_reduce_names import Components
from openapi_reduce_places import UnreadableError
from openapi_reduce_report import changes
from openapi_reduce_types import Json

SCRIPTS = Path(__file__).resolve().parent
DOCUMENTS = SCRIPTS.parent / "tap_rutter" / "openapi"
FIXES = SCRIPTS / "openapi_fixes.json"

FETCH_SECONDS = 120
LINE_LENGTH = 120


class UsageError(Exception):
    """The command cannot be done as given. The message is one line."""


class Maker:
    """Makes documents under one set of fixes, reading neighbours from one directory."""

    def __init__(self, fixes: object, directory: Path) -> None:
        if not isinstance(fixes, dict) or not {"title", "servers", "names", "versions"} <= set(
            fixes
        ):
            raise UsageError("the fixes file needs 'title', 'servers', 'names' and 'versions'")
        self.fixes: Json = fixes
        self.directory = directory
        self.notes: list[str] = []
        self._made: dict[str, Json] = {}

    def make(self, version: str, source: object) -> Json:
        """The document of `version`; `source` is None for a derived version."""
        settings = self._settings(version)
        if "base" in settings and source is not None:
            raise UsageError(f"{version} is derived from {settings['base']}: it takes no SOURCE")
        if "base" not in settings and source is None:
            raise UsageError(f"{version} is not a derived version: give a SOURCE")
        if source is None:
            content = copy.deepcopy(self.neighbour(settings["base"]))
        else:
            content = self._reduce(source)
        idle = apply_fixes(content, settings.get("fixes", []), self.neighbour)
        self.notes += [f"fix that changed nothing: {reason}" for reason in idle]
        self._made[version] = {
            "openapi": "3.1.0",
            "info": {"title": self.fixes["title"], "version": version},
            "servers": self.fixes["servers"],
            "x-source": self._source_note(settings),
            "paths": dict(sorted(content["paths"].items())),
            "components": {"schemas": dict(sorted(content["components"]["schemas"].items()))},
        }
        return self._made[version]

    def neighbour(self, version: str) -> Json:
        """The document of another version: made in this run, or else the one on disk."""
        return self._made.get(version) or self.on_disk(version)

    def on_disk(self, version: str) -> Json:
        """The document of a version that has been made before."""
        path = self.document_path(version)
        if not path.exists():
            raise UsageError(
                f"{path.name} is needed for this; make it first: "
                f"make openapi VERSION={version} SOURCE=description.yaml"
            )
        document = load(str(path))
        if not isinstance(document, dict):
            raise UsageError(f"{path.name} is not a document")
        return document

    def document_path(self, version: str) -> Path:
        return self.directory / f"{version}.json"

    def missing_for(self, version: str) -> str:
        """The documents that `version` needs, and that are neither made in this run nor on disk."""
        used = sorted(self._used_by(version) - set(self._made))
        return " and ".join(name for name in used if not self.document_path(name).exists())

    def takes_something_new(self, version: str) -> bool:
        """Whether a version on disk lacks parts that it takes from the documents of this run."""
        if not self.document_path(version).exists():
            return True
        document = self.on_disk(version)
        taken = [fix for fix in self.fixes["versions"][version].get("fixes", []) if "take" in fix]
        before = written(document)
        apply_fixes(document, taken, self.neighbour)
        return written(document) != before

    def take_notes(self) -> list[str]:
        """The notes since the last call."""
        notes, self.notes[:] = list(self.notes), []
        return notes

    def users_of(self, version: str) -> tuple[list[str], list[str]]:
        """The versions to be made again after `version`: derived ones, and those with a source.

        The derived versions come in the sequence in which they must be made. A version with its own
        source cannot be made again without that source.
        """
        derived: list[str] = []
        sourced: list[str] = []
        changed = {version}
        waiting = [name for name in self.fixes["versions"] if name != version]
        while ready := [name for name in waiting if self._used_by(name) & changed]:
            for name in ready:
                waiting.remove(name)
                if "base" in self.fixes["versions"][name]:
                    derived.append(name)
                    changed.add(name)
                else:
                    sourced.append(name)
        return self._in_order(derived), sourced

    def _used_by(self, version: str) -> set[str]:
        settings = self.fixes["versions"][version]
        used = {fix["take"] for fix in settings.get("fixes", []) if "take" in fix}
        return used | ({settings["base"]} if "base" in settings else set())

    def _in_order(self, derived: list[str]) -> list[str]:
        """The versions, each behind those that it uses."""
        ordered: list[str] = []
        waiting = list(derived)
        while waiting:
            free = [name for name in waiting if not self._used_by(name) & {*waiting} - {name}]
            if not free:
                raise UsageError(f"{' and '.join(waiting)} are derived from each other")
            ordered += free
            waiting = [name for name in waiting if name not in free]
        return ordered

    def _settings(self, version: str) -> Json:
        known = self.fixes["versions"]
        if version not in known:
            raise UsageError(
                f"version {version} is not in the fixes file (it has {', '.join(known)}): "
                "add a section for it under 'versions' that says where its description comes from"
            )
        settings: Json = known[version]
        return settings

    def _reduce(self, source: object) -> Json:
        components = Components(self.fixes["names"])
        endpoints = read_source(source, self.notes)
        paths = {
            path: components.place_endpoint(path, endpoint)
            for path, endpoint in sorted(endpoints.items())
        }
        self.notes += [f"name: {renamed}" for renamed in components.renamed]
        return {"paths": paths, "components": {"schemas": components.schemas}}

    def _source_note(self, settings: Json) -> Json:
        taken = [fix["take"] for fix in settings.get("fixes", []) if "take" in fix]
        neighbours = sorted({*taken, *([settings["base"]] if "base" in settings else [])})
        note = dict(settings["source"])
        note["derived"] = "base" in settings
        if neighbours:
            note["derived_from" if note["derived"] else "completed_from"] = neighbours
        return note


def load(source: str) -> object:
    """The description in a file or at a URL, JSON or YAML."""
    if source.startswith(("https://", "http://")):
        request = urllib.request.Request(source, headers={"User-Agent": "tap-rutter"})
        try:
            with urllib.request.urlopen(request, timeout=FETCH_SECONDS) as response:
                text = response.read().decode("utf-8")
        except (urllib.error.URLError, TimeoutError, UnicodeDecodeError) as error:
            raise UsageError(f"{source} could not be read: {error}") from error
    else:
        try:
            text = Path(source).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{source} could not be read: {error}") from error
    try:
        return json.loads(text)
    except ValueError as error:
        if text.lstrip().startswith(("{", "[")):
            raise UsageError(f"{source} is not valid JSON: {error}") from error
    return _load_yaml(source, text)


def _load_yaml(source: str, text: str) -> object:
    try:
        import yaml
    except ImportError as error:
        raise UsageError(f"{source} is not JSON; to read YAML: pip install PyYAML") from error

    class Loader(yaml.SafeLoader):
        """Reads YAML 1.2, which descriptions use: dates are strings, and so are NO, on and off."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, rule) for tag, rule in rules if not tag.endswith((":timestamp", ":bool"))]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    truth = re.compile("^(true|false)$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", truth, list("tf"))
    try:
        return _string_keys(yaml.load(text, Loader))
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from error


def _string_keys(value: Any) -> Any:
    """Make all keys strings: YAML has keys that are numbers, as in `responses: {200: ...}`."""
    if isinstance(value, dict):
        return {str(key): _string_keys(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_string_keys(inner) for inner in value]
    return value


def written(value: object, indent: int = 0, column: int = 0) -> str:
    """JSON in which a value that fits on one line is on one line, so that diffs are short.

    `column` is where the text begins on its line, behind the indent and a key.
    """
    flat = json.dumps(value, ensure_ascii=False)
    if column + len(flat) <= LINE_LENGTH or not isinstance(value, dict | list) or not value:
        return flat
    margin, lines = " " * (indent + 1), []
    if isinstance(value, list):
        lines = [margin + written(item, indent + 1, indent + 1) for item in value]
        return "[\n" + ",\n".join(lines) + "\n" + " " * indent + "]"
    for key, item in value.items():
        start = f"{margin}{json.dumps(key, ensure_ascii=False)}: "
        lines.append(start + written(item, indent + 1, len(start)))
    return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"


def run(arguments: argparse.Namespace) -> int:
    """Make a document and those derived from it, print the changes, and write them all."""
    maker = Maker(load(str(arguments.fixes)), arguments.directory)
    version = arguments.version
    maker.make(version, load(arguments.source) if arguments.source else None)
    results = [Result(maker, version)]
    advice: list[str] = []
    if results[0].differs:
        advice = _make_users(maker, version, results)
    # Written only when all of them could be made, so that they fit each other.
    for result in results:
        result.tell()
        if result.differs and not arguments.check:
            result.path.write_text(result.text, "utf-8")
    for line in advice:
        print(line)
    return int(arguments.check and any(result.differs for result in results))


class Result:
    """A new document, and the one on disk."""

    def __init__(self, maker: Maker, version: str) -> None:
        self.version = version
        self.document = maker.neighbour(version)
        self.path = maker.document_path(version)
        self.text = written(self.document) + "\n"
        self.differs = not self.path.exists() or self.path.read_text("utf-8") != self.text
        old = maker.on_disk(version) if self.path.exists() else {}
        self.report = changes(old, self.document)
        self.notes = maker.take_notes()

    def tell(self) -> None:
        """Print what is in the document, and what changes."""
        endpoints = len(self.document["paths"])
        components = len(self.document["components"]["schemas"])
        total = f"{len(self.report) or 'no'} change{'' if len(self.report) == 1 else 's'}"
        print(f"{self.version}: {endpoints} endpoints, {components} components; {total}")
        for line in [*self.report, *self.notes]:
            print(f"  {line}")


def _make_users(maker: Maker, version: str, results: list[Result]) -> list[str]:
    """Make the versions that are derived from this one; returns what a person has to do."""
    derived, sourced = maker.users_of(version)
    advice = []
    for other in derived:
        missing = maker.missing_for(other)
        if missing:
            advice.append(
                f"{other} is not made: it is derived from {missing} too, which is missing"
            )
            continue
        try:
            maker.make(other, None)
        except (UsageError, FixError) as error:
            raise UsageError(f"{other}, which is derived from {version}: {error}") from error
        results.append(Result(maker, other))
    for other in filter(maker.takes_something_new, sourced):
        advice.append(
            f"{other} takes parts of {version}: make it again as well, with "
            f"make openapi VERSION={other} SOURCE=description.yaml"
        )
    return advice


def main(argv: list[str] | None = None) -> int:
    """The command line. Returns 0 if done, 1 if a document differs (--check), 2 on an error."""
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="file or URL of a description")
    parser.add_argument("--version", required=True, help="API version, as in the version header")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it would differ")
    parser.add_argument("--fixes", type=Path, default=FIXES, help="fixes file")
    parser.add_argument("--directory", type=Path, default=DOCUMENTS, help="where documents are")
    try:
        return run(parser.parse_args(argv))
    except (UsageError, UnreadableError, FixError) as error:
        print(f"update_openapi: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
