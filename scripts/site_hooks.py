"""What MkDocs calls while it builds the site: mkdocs.yml names this file.

It adds the pages that are not in ``docs/``, rewrites links (``site_pages.py``), leaves out of the
navigation what is not there, and gives pages with a diagram the script that draws it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

sys.path.insert(0, str(Path(__file__).resolve().parent))

from site_pages import APART, Repository, with_markdown_inside

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = Repository(ROOT)
TOOLS = ROOT / ".site" / "node_modules"
"""What npm has installed, as ``docs/site/package-lock.json`` has it."""

_MERMAID = "assets/mermaid.js"
_SEARCH = "assets/iframe-worker.js"
_FROM_NPM = {
    _MERMAID: "@mermaid-js/tiny/dist/mermaid.tiny.js",
    _SEARCH: "iframe-worker/shim/index.js",
}
_SEARCH_ELSEWHERE = "https://unpkg.com/iframe-worker/shim"
"""Where the theme has each page ask for what searches a site without a server."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave out of the navigation what is not there, and so leads nowhere."""
    there = {*REPOSITORY.added, *_documents()}
    config.nav = list(_without_missing(config.nav or [], there))
    return config


def _documents() -> set[str]:
    docs = ROOT / "docs"
    return {file.relative_to(docs).as_posix() for file in docs.rglob("*.md")}


def _without_missing(entries: list[Any], there: set[str]) -> Iterator[Any]:
    for entry in entries:
        if isinstance(entry, str):
            if entry in there:
                yield entry
            continue
        ((title, under),) = entry.items()
        if isinstance(under, list):
            yield {title: list(_without_missing(under, there))}
        elif under in there:
            yield entry


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages from outside ``docs/``, files that documents link to, and scripts from npm."""
    for page in REPOSITORY.added.values():
        files.append(File.generated(config, page.uri, content=page.text))
    for uri, path in REPOSITORY.linked_sources.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    for uri, name in _FROM_NPM.items():
        if not (TOOLS / name).exists():
            raise PluginError(f"{TOOLS / name} is missing: `make docs-site` has npm install it")
        files.append(File.generated(config, uri, abs_src_path=str(TOOLS / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links, and have Markdown read inside of HTML."""
    del config, files
    if page.file.src_uri in APART.values():
        page.meta["hide"] = ["toc"]  # a table each, as wide as can be
    return with_markdown_inside(REPOSITORY.relinked(markdown, page.file.src_uri))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Give a page its scripts from this site, and one with a diagram that which draws it."""
    del config
    return with_own_scripts(output, page.url)


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """The same for the page of an address that does not exist."""
    del config
    return with_own_scripts(output, "404.html") if template_name == "404.html" else output


def with_own_scripts(html: str, url: str) -> str:
    """A page whose scripts all come from this site.

    Raises:
        PluginError: for a page with a diagram, if the theme has changed too much for it.
    """
    html = html.replace(_SEARCH_ELSEWHERE, get_relative_url(_SEARCH, url))
    if 'class="mermaid"' not in html:
        return html
    # Before the theme's own script, which would ask another host for mermaid otherwise.
    before, found, after = html.partition('<script id="__config"')
    if not found:
        raise PluginError('the theme\'s pages have no <script id="__config"> any more')
    scripts = "".join(
        f'<script src="{get_relative_url(name, url)}"></script>'
        for name in (_MERMAID, "site/diagrams.js")
    )
    return f"{before}{scripts}{found}{after}"
