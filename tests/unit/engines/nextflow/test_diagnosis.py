import pytest

from engines.nextflow.diagnosis import explained

START = "N E X T F L O W  ~  version 25.04.4\nLaunching `/r/main.nf` [sad_cori] DSL2 - revision: 1\n"
CHECK = "\n -- Check '/r/nextflow.log' file for details\n"
COMPILATION = """\
ERROR ~ Script compilation error
- file : /r/main.nf
- cause: Unexpected input: '{' @ line 4, column 11.
   process A {
             ^

1 error

NOTE: If this is the beginning of a process or workflow, there may be a syntax error in the body.
"""
PROCESS = """\
[0d/1aa200] Submitted process > ALIGN (x)
ERROR ~ Error executing process > 'ALIGN (x)'

Caused by:
  Missing output file(s) `o.txt` expected by process `ALIGN (x)`


Command executed:

  echo 'ERROR'

Work dir:
  /r/nxf/0d/1a
"""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            START + COMPILATION + CHECK,
            "/r/main.nf:4:11: Unexpected input: '{' (this, or the block that begins here, does not compile)",
        ),
        (
            START + PROCESS + CHECK,
            "The process 'ALIGN (x)' failed: Missing output file(s) `o.txt` expected by process `ALIGN (x)`",
        ),
        (
            START + "ERROR ~ No such variable: x\n\n -- Check script '/r/main.nf' at line: 2 or see '/r/n.log' file\n",
            "/r/main.nf:2: No such variable: x",
        ),
        (START + "WARN: something\ngive me reads\n", "give me reads"),
        ("Unknown configuration profile: 'x'\n", "Unknown configuration profile: 'x'"),
        (START + "[0d/1aa200] Submitted process > A\n", ""),
        ("", ""),
    ],
)
def test_the_reason_is_found_in_what_nextflow_prints(text: str, wanted: str) -> None:
    assert explained(text) == wanted


def test_the_last_error_counts() -> None:
    assert explained("ERROR ~ first\n\nERROR ~ second\n") == "second"


def test_a_very_long_message_is_cut() -> None:
    assert len(explained("ERROR ~ " + "x" * 5000)) == 1500
