"""Outputs named by a pattern, as the shell's own (IEEE 1003.1-2017, 2.13): `*`, `?` and `[…]` never match a `/`."""

import re
from collections.abc import Iterator

from tes_service.layout import Layout
from tes_service.locate import Located, locate
from tes_service.parse import WILDCARD

ESCAPED = re.compile(r"\\(.)")
UNESCAPED = r"\1"


def matches(layout: Layout, pattern: str) -> Iterator[tuple[str, Located]]:
    """The task's paths that match, sorted, and what they are."""
    yield from _below(layout, "", [part for part in pattern.split("/") if part])


def _below(layout: Layout, path: str, parts: list[str]) -> Iterator[tuple[str, Located]]:
    found = locate(layout, path or "/")
    if found is None:
        return
    if not parts:
        yield path, found
        return
    first, *rest = parts
    if not WILDCARD.search(first):
        yield from _below(layout, f"{path}/{ESCAPED.sub(UNESCAPED, first)}", rest)
        return
    if found.path.is_dir():
        wanted = expression(first)
        for name in sorted(one.name for one in found.path.iterdir()):
            if wanted.fullmatch(name) and (first[0] == "." or name[0] != "."):
                yield from _below(layout, f"{path}/{name}", rest)


def expression(pattern: str) -> re.Pattern[str]:
    """One part of a pattern as a regular expression.

    What lies between two `*` is taken where it comes first, once and for all (an atomic group): that is enough, and
    else a name that does not match would be tried in as many ways as there are to place them all.
    """
    pieces = re.findall(r"\\.|\[!?\]?[^]]*\]|.", pattern, re.DOTALL)
    stretches = [""]
    for piece in pieces:
        if piece == "*":
            stretches.append("")
        else:
            stretches[-1] += _piece(piece)
    first, *rest = stretches
    middle = "".join(f"(?>.*?{stretch})" for stretch in rest[:-1] if stretch)
    return re.compile(first + middle + (f".*{rest[-1]}" if rest else ""), re.DOTALL)


def _piece(piece: str) -> str:
    if piece == "?":
        return "."
    if len(piece) > 2 and piece[0] == "[":
        inner = re.sub(r"([\\\[^&~|])", r"\\\1", piece[1:-1].removeprefix("!"))
        return f"[{'^' if piece[1] == '!' else ''}{inner}]"
    return re.escape(piece[-1])
