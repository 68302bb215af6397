"""Says that a name is not known, which ones are, and which of them was probably meant. Pure."""

from collections.abc import Collection
from difflib import get_close_matches

from common.errors import InvalidField

LONGEST = 100
"""Characters of a foreign name that are repeated."""


def not_known(what: str, name: str, known: Collection[str]) -> InvalidField:
    """`what` is e.g. "field"; the error names `name`."""
    near = get_close_matches(name[:LONGEST], known, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    there = ", ".join(sorted(known)) or "none"
    return InvalidField(name[:LONGEST], f"there is no such {what}; {meant}The {what}s are: {there}")
