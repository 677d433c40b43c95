"""Make the API description documents in tap_rutter/openapi from published descriptions.

    python scripts/update_openapi.py --version 2024-08-31 SOURCE   # a file or a URL
    python scripts/update_openapi.py --version 2024-04-30          # derived from its neighbours

SOURCE is a published OpenAPI 3 description (JSON or YAML), or its facts form. It is reduced to bare
facts, the version's fixes in scripts/openapi_fixes.json are applied, and what changes against the
document on disk is printed. Nobody edits a document by hand: a correction is a fix with its reason.
With --check nothing is written; the exit code is 1 if the document on disk differs.
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

from openapi_reduce import Json, UnreadableError, read_source
from openapi_reduce_fixes import FixError, apply_fixes
from openapi_reduce_names import Components
from openapi_reduce_report import changes

SCRIPTS = Path(__file__).resolve().parent
DOCUMENTS = SCRIPTS.parent / "tap_rutter" / "openapi"
FIXES = SCRIPTS / "openapi_fixes.json"

FETCH_SECONDS = 120
LINE_LENGTH = 120


class UsageError(Exception):
    """What was asked for cannot be done; the message is one line."""


class Maker:
    """Makes documents under one set of fixes, reading neighbours from one directory."""

    def __init__(self, fixes: object, directory: Path) -> None:
        if not isinstance(fixes, dict) or not {"title", "servers", "names", "versions"} <= set(
            fixes
        ):
            raise UsageError("the fixes file needs title, servers, names and versions")
        self.fixes: Json = fixes
        self.directory = directory
        self.notes: list[str] = []

    def make(self, version: str, source: object) -> Json:
        """The document of `version`; `source` is None for a version that is derived."""
        settings = self._settings(version)
        if "base" in settings and source is not None:
            raise UsageError(f"{version} is derived from {settings['base']}: it takes no SOURCE")
        if "base" not in settings and source is None:
            raise UsageError(f"{version} is not a derived version: give a SOURCE")
        if source is None:
            content = copy.deepcopy(self.on_disk(settings["base"]))
        else:
            content = self._reduce(source)
        idle = apply_fixes(content, settings.get("fixes", []), self.on_disk)
        self.notes += [f"fix that changed nothing: {reason}" for reason in idle]
        return {
            "openapi": "3.1.0",
            "info": {"title": self.fixes["title"], "version": version},
            "servers": self.fixes["servers"],
            "x-source": self._source_note(settings),
            "paths": dict(sorted(content["paths"].items())),
            "components": {"schemas": dict(sorted(content["components"]["schemas"].items()))},
        }

    def on_disk(self, version: str) -> Json:
        """The document of another version, which must have been made already."""
        path = self.document_path(version)
        if not path.exists():
            raise UsageError(f"{path.name} is needed for this: make it first")
        document = load(str(path))
        if not isinstance(document, dict):
            raise UsageError(f"{path.name} is not a document")
        return document

    def document_path(self, version: str) -> Path:
        return self.directory / f"{version}.json"

    def derived_from(self, version: str) -> list[str]:
        """The versions whose documents use that of `version`."""
        return [
            other
            for other, settings in self.fixes["versions"].items()
            if settings.get("base") == version
            or any(fix.get("take") == version for fix in settings.get("fixes", []))
        ]

    def _settings(self, version: str) -> Json:
        known = self.fixes["versions"]
        if version not in known:
            raise UsageError(
                f"version {version} is not in the fixes file (it has {', '.join(known)}): "
                "add a section that says where its description comes from"
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
    """The description in a file or behind a URL, JSON or YAML."""
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
        """YAML 1.2, as descriptions are written: dates are strings, and so are NO, on and off."""

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
    """YAML knows keys that are numbers, as in `responses: {200: ...}`."""
    if isinstance(value, dict):
        return {str(key): _string_keys(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_string_keys(inner) for inner in value]
    return value


def written(value: object, indent: int = 0, column: int = 0) -> str:
    """JSON in which what fits on a line stands on one, so that diffs are short and readable.

    `column` is where the text begins on its line, past the indent and a key.
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
    """Make one document, print the report, write it unless only a check was asked for."""
    maker = Maker(load(str(arguments.fixes)), arguments.directory)
    version = arguments.version
    source = load(arguments.source) if arguments.source else None
    document = maker.make(version, source)
    path = maker.document_path(version)
    old = maker.on_disk(version) if path.exists() else {}
    endpoints, components = len(document["paths"]), len(document["components"]["schemas"])
    report = changes(old, document)
    text = written(document) + "\n"
    differs = not path.exists() or path.read_text("utf-8") != text
    if differs and not arguments.check:
        path.write_text(text, "utf-8")
    total = f"{len(report) or 'no'} change{'' if len(report) == 1 else 's'}"
    print(f"{version}: {endpoints} endpoints, {components} components; {total}")
    for line in [*report, *maker.notes]:
        print(f"  {line}")
    if differs and maker.derived_from(version):
        print(f"  make again, since they use this one: {', '.join(maker.derived_from(version))}")
    return int(differs and arguments.check)


def main(argv: list[str] | None = None) -> int:
    """The command line; 0 done, 1 differs (--check), 2 cannot be done."""
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
