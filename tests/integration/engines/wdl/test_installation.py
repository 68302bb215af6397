"""The installed WDL engine itself."""

import subprocess

from common.engine import Installation
from sandbox.identity import foreign_identity
from tests.engine_fixtures import SANDBOX_UID

SAME_PARSERS = """
from engines.wdl.executor.__main__ import spare_docker
spare_docker()
import WDL
from WDL import _grammar, _parser
from engines.wdl.executor.grammars import START, VERSIONS, ParserCache, use_cache
text = "# one\\ntask t { # two\\n input { Int i = 1 } command <<< echo ~{i} >>> output { String s = 'x' } }\\n"
wrong = "workflow w { call }\\n"

def parsed(version):
    document = WDL.parse_document(f"version {version}\\n{text}")
    comments = [str(comment) for comment in document.source_comments]
    try:
        WDL.parse_document(f"version {version}\\n{wrong}")
    except WDL.Error.SyntaxError as error:
        return document.tasks[0].digest, document.tasks[0].pos, comments, sorted(str(error).split()), error.pos

made = parsed("1.1")
use_cache()
assert isinstance(_parser._lark_cache, ParserCache)
assert all((_grammar.get(version)[0], START) in _parser._lark_cache for version in VERSIONS)
assert parsed("1.1") == made
assert "# two" in str(made[2])
print("same")
"""


def test_the_parsers_that_it_starts_with_are_those_of_miniwdl(wdl_installation: Installation) -> None:
    identity = foreign_identity(SANDBOX_UID)
    argv = [*identity.argv(), str(wdl_installation.environment / "bin" / "python"), "-I", "-c", SAME_PARSERS]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/", env={"HOME": "/nonexistent"})
    assert done.stdout == "same\n", done.stderr
