import pytest

from engines.nextflow.diagnosis import explained, too_old, without_plugin

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


def test_the_first_error_counts_as_the_others_follow_from_it() -> None:
    text = (
        f"{START}ERROR ~ Cannot invoke method x() on null object\n\n -- Check script '/r/a.nf' at line: 7 or see 'l'\n"
        "ERROR ~ Pipeline failed. Please refer to troubleshooting docs: https://nf-co.re/docs/usage/troubleshooting\n"
    )
    assert explained(text) == "/r/a.nf:7: Cannot invoke method x() on null object"


@pytest.mark.parametrize(
    "text",
    [
        # nf-schema says the list of what is wrong before, within or behind the error.
        (
            "ERROR ~ Validation of pipeline parameters failed!\n\n -- Check '/r/n.log' file for details\n"
            "The following invalid input values have been detected:\n\n"
            "* --input (a.csv): the file 'a.csv' does not exist\n\n"
        ),
        (
            "ERROR ~ Validation of pipeline parameters failed!\n"
            "ERROR ~ Pipeline failed. Please refer to troubleshooting docs\n"
            "ERROR ~ The following invalid input values have been detected:\n\n"
            "* \x1b[0;34m--input\x1b[0m (a.csv): the file 'a.csv' does not exist\n\n -- Check '/r/n.log' file\n"
        ),
    ],
)
def test_the_list_of_bad_params_is_told_with_the_error(text: str) -> None:
    told = explained(START + text)
    assert told.startswith("Validation of pipeline parameters failed!")
    assert told.endswith(
        "The following invalid input values have been detected: * --input (a.csv): the file 'a.csv' does not exist"
    )
    assert "troubleshooting" not in told


FLAG = f"{START}ERROR ~ Workflow output definition requires the `nextflow.preview.output` feature flag\n"
MISMATCH = f"{START}ERROR ~ Nextflow version 25.04.4 does not match workflow required version: >=25.10.0\n"
CONFIG = "manifest {\n    name = 'x'\n    nextflowVersion = '!>=25.10.0'\n}\n"


@pytest.mark.parametrize("text", [FLAG, MISMATCH])
def test_a_nextflow_that_is_too_old_is_told_as_that(text: str) -> None:
    told = too_old(text, CONFIG)
    assert told.startswith("the workflow is made for Nextflow >=25.10.0, and this is 25.04.4")
    assert "ERROR" not in told
    assert told.endswith("'wes engines install nextflow --own LAUNCHER' adds a Nextflow of your own")


@pytest.mark.parametrize(
    ("text", "config"),
    [(FLAG, ""), (FLAG, CONFIG.replace("25.10.0", "24.10.5")), (f"{START}ERROR ~ No such variable: x\n", CONFIG)],
)
def test_other_failures_are_not_put_down_to_the_version(text: str, config: str) -> None:
    assert too_old(text, config) == ""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        # As Nextflow 25.04.4 says it for `id 'nf-schema@2.5.1'`, also where another version is there,
        (
            "Downloading plugin nf-schema@2.5.1\nERROR ~ Plugin with id nf-schema not found in any repository\n",
            "nf-schema@2.5.1",
        ),
        (
            "Downloading plugin nf-schema@2.5.1\nERROR ~ Plugin nf-schema with version @2.5.1 does not exist in the",
            "nf-schema@2.5.1",
        ),
        # for `nf-schema@~2.5.0`, `nf-schema`, and an `include` from a plugin that the config does not name.
        ("ERROR ~ Unknown plugin id: nf-schema\n", "nf-schema"),
        ("ERROR ~ Cannot find version of nf-schema plugin matching ~2.5.0\n", "nf-schema@2.5.0"),
        ("ERROR ~ Cannot find version for nf-schema plugin -- plugin versions MUST be specified in o", "nf-schema"),
        ("ERROR ~ Unable start plugin with Id 'nf-schema'\n\n -- Check script '/r/main.nf' at line: 1", "nf-schema"),
    ],
)
def test_a_plugin_that_is_missing_is_told_with_the_command_that_installs_it(text: str, name: str) -> None:
    told = without_plugin(START + text)
    assert told.startswith(f"the workflow uses the Nextflow plugin {name}, which is not installed here")
    assert told.endswith(f"'wes engines install nextflow --plugin {name}' does it")


def test_a_very_long_message_is_cut() -> None:
    assert len(explained("ERROR ~ " + "x" * 5000)) == 1500
