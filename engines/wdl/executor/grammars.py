"""miniwdl's parsers, made once at installation, as that takes longer than most workflows' own work.

`python -m engines.wdl.executor.grammars` writes the cache to standard output.
"""

# ruff: noqa: SLF001 - neither miniwdl nor lark has another way to it
import contextlib
import pickle
import sys
from pathlib import Path
from typing import Any

import lark  # type: ignore[import-not-found]
from lark.grammar import Rule  # type: ignore[import-not-found]
from lark.lexer import TerminalDef  # type: ignore[import-not-found]
from WDL import _grammar, _parser

CACHE = Path(__file__).with_name("grammars.pickle")
VERSIONS = ("draft-2", "1.0", "1.1", "1.2")
START = "document"
UNREADABLE = (OSError, EOFError, AttributeError, ImportError, KeyError, pickle.UnpicklingError)


class ParserCache(dict[tuple[str, str], Any]):
    """In the place of miniwdl's own: parsers by grammar and start symbol, each made of its tables when it is wanted."""

    def __init__(self, tables: dict[tuple[str, str], bytes]) -> None:
        super().__init__()
        self._tables = tables

    def __contains__(self, key: object) -> bool:
        tables = self._tables.pop(key, None)  # type: ignore[call-overload]
        if tables is not None:
            with contextlib.suppress(*UNREADABLE):
                data, memo = pickle.loads(tables)  # noqa: S301 - the installation's
                self[key] = lark.Lark._load_from_dict(  # type: ignore[index]
                    data, memo, lexer_callbacks={"COMMENT": _parser._lark_comments_buffer.append}
                )
        return super().__contains__(key)


def use_cache() -> None:
    """Does nothing where there is no cache: miniwdl then makes them. The file is the installation's, so trusted."""
    if isinstance(_parser._lark_cache, ParserCache):
        return
    with contextlib.suppress(*UNREADABLE):
        _parser._lark_cache = ParserCache(pickle.loads(CACHE.read_bytes()))  # noqa: S301


def pickled() -> bytes:
    """The content of the cache, for this miniwdl."""
    tables: dict[tuple[str, str], bytes] = {}
    for version in VERSIONS:
        grammar = _grammar.get(version)[0]
        # As miniwdl makes them, but for what is called at comments, which can't be pickled.
        parser = lark.Lark(grammar, start=START, parser="lalr", maybe_placeholders=False, propagate_positions=True)
        made = parser.memo_serialize([TerminalDef, Rule])
        tables[grammar, START] = pickle.dumps(made, protocol=pickle.HIGHEST_PROTOCOL)
    return pickle.dumps(tables, protocol=pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    sys.stdout.buffer.write(pickled())
