"""From page to page: the cursor is followed to its end, and one without end is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from singer_sdk.pagination import BaseAPIPaginator

from tap_rutter.api.pages import Page
from tap_rutter.errors import PartitionFailed

_REPEATED_PAGES = 3  # the same page this often is a loop, whatever its cursor says
_EMPTY_PAGES = 1_000  # a list this long without a row, or without another, does not end


class CursorPaginator(BaseAPIPaginator["str | None"]):
    """Follows ``next_cursor`` to its end, and notices when there is none.

    Unlike the SDK's paginators it goes on after an empty page: a page may be empty and still have
    a next one.
    """

    def __init__(self, where: str) -> None:
        super().__init__(None)
        self._where = where
        self._cursors: set[int] = set()
        self._pages: dict[int, int] = {}
        self._empty = 0

    def advance(self, response: Any) -> None:
        """Take the cursor of a page.

        Raises:
            PairFailed: for a cursor that came before, or pages without end that repeat.
        """
        page = cast("Page", response)
        self._page_count += 1
        cursor = self.get_next(page)
        if cursor is None:
            self._finished = True
            return
        self._notice_loop(page, cursor)
        self._value = cursor

    def get_next(self, response: Any) -> str | None:
        """The page's cursor; None at the end of the list."""
        return cast("Page", response).next_cursor

    def continue_if_empty(self, response: Any) -> bool:  # noqa: ARG002 - the SDK's signature
        """Go on: emptiness is not the end."""
        return True

    def _notice_loop(self, page: Page, cursor: str) -> None:
        if hash(cursor) in self._cursors:
            raise self._loop("the same cursor came twice")
        self._cursors.add(hash(cursor))
        if page.raws:
            self._empty = 0
            mark = hash(tuple(map(repr, page.ids) if any(page.ids) else map(bytes, page.raws)))
            self._pages[mark] = self._pages.get(mark, 0) + 1
            if self._pages[mark] >= (_REPEATED_PAGES if any(page.ids) else _EMPTY_PAGES):
                raise self._loop("the same rows come again and again")
        else:
            self._empty += 1
            if self._empty >= _EMPTY_PAGES:
                raise self._loop("empty pages without end")

    def _loop(self, how: str) -> PartitionFailed:
        return PartitionFailed(f"{self._where}: cursor loop, {how}", reason="cursor_loop")


def follow(fetch: Callable[[str | None], Page], where: str) -> Iterator[Page]:
    """All pages of a list, one request each.

    Args:
        fetch: Gets the page at a cursor (None for the first).
        where: The endpoint's path, for messages.
    """
    paginator = CursorPaginator(where)
    while not paginator.finished:
        page = fetch(paginator.current_value)
        yield page
        paginator.advance(page)
