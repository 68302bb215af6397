"""The task document of a step."""

import shlex
from dataclasses import replace
from pathlib import Path

from engines.kit.task_document import LONGEST_CONTENT
from engines.snakemake.executor.step import Step, StepCommand, outermost

WORK = Path("/runs/1/work")
COMMAND = StepCommand(
    image="debian:12", script="exit 0\n", words=("bash", "-euo", "pipefail", "-c", "echo x > out/x.txt")
)


def step(**more: object) -> Step:
    given = {
        "name": "a (s=1)",
        "attempt": 1,
        "work": WORK,
        "commands": (COMMAND,),
        "outputs": (WORK / "out/x.txt",),
        **more,
    }
    return Step(**given)  # type: ignore[arg-type]


def test_paths_are_the_same_inside_and_outside() -> None:
    task = step(inputs=(WORK / "in put.txt",)).task()
    assert task["inputs"][0] == {
        "type": "FILE",
        "url": "file:///runs/1/work/in%20put.txt",
        "path": "/runs/1/work/in put.txt",
    }
    assert task["outputs"] == [
        {"type": "FILE", "url": "file:///runs/1/work/out/x.txt", "path": "/runs/1/work/out/x.txt"}
    ]
    assert task["executors"][0]["workdir"] == str(WORK)
    assert task["executors"][0]["image"] == "debian:12"


def test_the_command_is_the_rules_own_behind_its_script() -> None:
    task = step().task()
    assert task["executors"][0]["command"] == ["/bin/sh", "/var/lib/wes-step/1.sh", *COMMAND.words]
    assert {"type": "FILE", "content": "exit 0\n", "path": "/var/lib/wes-step/1.sh"} in task["inputs"]


def test_the_tags_hold_step_attempt_and_a_key() -> None:
    tags = step(attempt=2).task()["tags"]
    assert tags["wes.step"] == "a (s=1)"
    assert tags["wes.attempt"] == "2"
    assert tags["wes.step_key"].startswith("a (s=1)#2:")


def test_the_key_changes_with_the_work_and_with_nothing_else() -> None:
    assert step().key == step(resources={"cpu_cores": 2}).key
    # What a checkpoint has added since.
    assert step().key == step(inputs=(WORK / "y",), commands=(replace(COMMAND, script="ln -s a b\nexit 0\n"),)).key
    others = [
        step(attempt=2),
        step(declared=("y",)),
        step(outputs=(WORK / "y",)),
        step(commands=(COMMAND, COMMAND)),
    ]
    assert len({step().key, *(other.key for other in others)}) == 5


def test_the_key_of_a_nested_snakemake_knows_no_order_of_arguments() -> None:
    """It writes out sets, in another order each time that it starts."""
    orders = (["--shared-fs-usage", "sources", "input-output"], ["--shared-fs-usage", "input-output", "sources"])
    nested = [step(commands=(replace(COMMAND, words=words, nested=True),)) for words in orders]
    assert nested[0].key == nested[1].key
    plain = [step(commands=(replace(COMMAND, words=words),)) for words in orders]
    assert plain[0].key != plain[1].key


def test_a_directory_is_an_output_of_its_own_kind() -> None:
    task = step(outputs=(WORK / "parts",), directories=frozenset({WORK / "parts"})).task()
    assert task["outputs"][0]["type"] == "DIRECTORY"


def test_a_repeated_command_is_an_executor_for_each_time() -> None:
    repeated = StepCommand(image="i", script="s", words=("true",), times=3)
    assert len(step(commands=(repeated, COMMAND)).task()["executors"]) == 4


def test_a_command_too_long_for_an_argument_is_read_from_a_file() -> None:
    long = "echo " + "x" * LONGEST_CONTENT
    made = step(commands=(StepCommand(image="i", script="s", words=("bash", "-c", long)),))
    path = "/var/lib/wes-step/1.sh.command"
    assert made.task()["executors"][0]["command"][-2:] == ["-c", f". {path}"]
    ((file, text),) = made.long_texts().items()
    assert text == long
    assert file.is_relative_to(WORK / ".wes")
    assert {"type": "FILE", "url": f"file://{file}", "path": path} in made.task()["inputs"]
    assert shlex.split(f". {path}") == [".", path]


def test_a_link_is_given_as_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("x")
    (tmp_path / "link.txt").symlink_to("real.txt")
    one = step(inputs=(tmp_path / "link.txt",)).task()["inputs"][0]
    assert one["url"].endswith("/real.txt")
    assert one["path"].endswith("/link.txt")


def test_what_lies_in_a_folder_that_is_given_is_not_given_again() -> None:
    paths = [WORK / "a/b/c", WORK / "a", WORK / "ab", WORK / "a"]
    assert outermost(paths) == [WORK / "a", WORK / "ab"]
