"""From page to page: follows the cursor to the end of the list, and notices lists without end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from singer_sdk.pagination import BaseAPIPaginator

from tap_rutter.api.pages import Page
from tap_rutter.errors import PartitionFailed

_REPEATED_PAGES = 3  # the same page this often is a loop, whatever its cursor says
_EMPTY_PAGES = 1_000  # after this many pages without a row, or new ones, a list does not end


class CursorPaginator(BaseAPIPaginator["str | None"]):
    """Follows ``next_cursor`` to its end, in this tap or in any ``RESTStream``."""

    def __init__(self) -> None:
        super().__init__(None)

    def get_next(self, response: Any) -> str | None:
        """The cursor of a page, or of a response of the SDK; None at the end of the list."""
        if isinstance(response, Page):
            return response.next_cursor
        return response.json().get("next_cursor") or None

    def continue_if_empty(self, response: Any) -> bool:  # noqa: ARG002 - the SDK's signature
        """Go on: an empty page may still have a next page."""
        return True


class LoopGuard:
    """Notices a list that never ends: the same cursor or the same rows come again and again."""

    def __init__(self, where: str) -> None:
        """``where``: the endpoint's path, for messages."""
        self._where = where
        self._cursors: set[int] = set()
        self._pages: dict[int, int] = {}
        self._empty = 0

    def check(self, page: Page) -> None:
        """Look at a page before the next one is asked for.

        Raises:
            PartitionFailed: for a cursor that came before, or for pages that repeat.
        """
        if page.next_cursor is None:
            return
        cursor = hash(page.next_cursor)
        if cursor in self._cursors:
            raise self._loop("the same cursor came twice")
        self._cursors.add(cursor)
        if not page.raws:
            self._empty += 1
            if self._empty >= _EMPTY_PAGES:
                raise self._loop("empty pages without end")
            return
        self._empty = 0
        has_ids = any(page.ids)
        mark = hash(tuple(map(repr, page.ids) if has_ids else map(bytes, page.raws)))
        self._pages[mark] = self._pages.get(mark, 0) + 1
        if self._pages[mark] >= (_REPEATED_PAGES if has_ids else _EMPTY_PAGES):
            raise self._loop("the same rows come again and again")

    def _loop(self, how: str) -> PartitionFailed:
        return PartitionFailed(f"{self._where}: cursor loop, {how}", reason="cursor_loop")


def follow(fetch: Callable[[str | None], Page], where: str) -> Iterator[Page]:
    """All pages of a list, one request each.

    Args:
        fetch: Gets the page at a cursor (None for the first).
        where: The endpoint's path, for messages.

    Raises:
        PartitionFailed: where the list does not end.
    """
    paginator, guard = CursorPaginator(), LoopGuard(where)
    while not paginator.finished:
        page = fetch(paginator.current_value)
        yield page
        guard.check(page)
        paginator.advance(cast("Any", page))  # declared for requests.Response
