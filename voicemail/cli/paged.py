"""Lists that may be very long: read a page at a time and shown as they come."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from store.api import Store
from voicemail.cli.common import cell, say
from voicemail.policy.base import Policy
from voicemail.policy.book import parsed
from voicemail.policy.text import shown

PAGE = 1000
Row = dict[str, Any]


async def rows_of(
    store: Store, kind: type[Policy], columns: Sequence[str], after: str, most: int
) -> AsyncIterator[list[Row]]:
    """The system's policies of one kind, by name, behind the name `after`: `most` of them, 0 for all. Raises
    store errors."""
    left = most or None
    while left is None or left > 0:
        page = await store.settings.page(kind.KIND, after, min(PAGE, left or PAGE))
        if not page:
            return
        read = ((each.name, parsed(kind, each)) for each in page)
        texts = {name: shown(policy) for name, policy in read if policy}
        yield [{"name": name} | {key: text[key] for key in columns} for name, text in texts.items()]
        after, left = page[-1].name, None if left is None else left - len(page)


async def show_pages(pages: AsyncIterator[list[Row]], as_json: bool) -> None:
    """As `common.show` does, without ever having all: later pages may make columns wider."""
    if as_json:
        await _as_json(pages)
        return
    widths: list[int] = []
    async for rows in pages:
        lines = [] if widths or not rows else [list(rows[0])]
        lines += [[cell(value) for value in row.values()] for row in rows]
        columns = zip(*lines, strict=True)
        longest = [max(map(len, column)) for column in columns]
        widths = [max(pair) for pair in zip(longest, widths or longest, strict=True)] if longest else widths
        for line in lines:
            say("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


async def _as_json(pages: AsyncIterator[list[Row]]) -> None:
    begun = False
    async for rows in pages:
        for row in rows:
            say(("," if begun else "[") + json.dumps(row, default=str))
            begun = True
    say("]" if begun else "[]")
