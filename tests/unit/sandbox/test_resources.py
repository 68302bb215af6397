"""What is read of the processes of a machine, from a folder like /proc."""

from pathlib import Path

import pytest

from sandbox import resources
from sandbox.resources import LOOKS_KEPT, ProcessTrees

INIT, SHELL, EDITOR, ROOT, STEP, CHILD = 1, 20, 21, 30, 31, 32


class Machine:
    """Processes by number, each with its parent; `read` are the numbers that were looked into since it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: list[int] = []
        self.trees = ProcessTrees(folder)
        for pid, parent in ((INIT, 0), (SHELL, INIT), (EDITOR, SHELL), (ROOT, SHELL), (STEP, ROOT), (CHILD, STEP)):
            self.add(pid, parent)

    def add(self, pid: int, parent: int) -> None:
        (self.folder / str(pid)).mkdir(exist_ok=True)
        rest = " ".join("0" for _ in range(16))
        (self.folder / str(pid) / "stat").write_text(
            f"{pid} (a (name) of) S {parent} {rest.replace('0', '2')} 0 0 0 5 0"
        )

    def remove(self, pid: int) -> None:
        (self.folder / str(pid) / "stat").unlink()
        (self.folder / str(pid)).rmdir()

    def look(self, *roots: int) -> dict[int, set[int]]:
        self._read.clear()
        return {root: {one.pid for one in tree} for root, tree in self.trees.look(roots).items()}

    def read(self) -> set[int]:
        return set(self._read)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made, process = Machine(tmp_path), resources._process

    def noted(proc: str, pid: str) -> object:
        made._read.append(int(pid))
        return process(proc, pid)

    monkeypatch.setattr(resources, "_process", noted)
    return made


def test_a_tree_is_a_root_and_all_that_comes_from_it(machine: Machine) -> None:
    assert machine.look(ROOT, EDITOR, 99) == {ROOT: {ROOT, STEP, CHILD}, EDITOR: {EDITOR}, 99: set()}
    (step,) = [one for one in machine.trees.look([STEP])[STEP] if one.pid == STEP]
    assert (step.parent, step.threads, step.memory) == (ROOT, 2, 5 * resources.PAGE)


def test_processes_of_others_are_read_once_in_a_while_only(machine: Machine) -> None:
    assert machine.look(ROOT) == {ROOT: {ROOT, STEP, CHILD}}
    assert machine.read() == {INIT, SHELL, EDITOR, ROOT, STEP, CHILD}
    for _ in range(LOOKS_KEPT - 1):
        assert machine.look(ROOT) == {ROOT: {ROOT, STEP, CHILD}}
        assert machine.read() == {ROOT, STEP, CHILD}
    machine.look(ROOT)
    assert INIT in machine.read()


def test_what_comes_later_is_found_and_what_goes_is_not(machine: Machine) -> None:
    machine.look(ROOT)
    machine.add(40, CHILD)
    machine.add(41, EDITOR)
    assert machine.look(ROOT) == {ROOT: {ROOT, STEP, CHILD, 40}}
    machine.remove(40)
    assert machine.look(ROOT) == {ROOT: {ROOT, STEP, CHILD}}
    assert 41 not in machine.read()


def test_another_root_is_found_although_it_was_passed_over(machine: Machine) -> None:
    machine.look(ROOT)
    assert machine.look(ROOT, EDITOR) == {ROOT: {ROOT, STEP, CHILD}, EDITOR: {EDITOR}}


def test_a_number_that_was_free_meanwhile_is_read_again(machine: Machine) -> None:
    machine.look(ROOT)
    machine.remove(EDITOR)
    machine.look(ROOT)
    machine.add(EDITOR, STEP)
    assert machine.look(ROOT) == {ROOT: {ROOT, STEP, CHILD, EDITOR}}


def test_what_has_lost_its_parent_is_not_taken_for_anothers(machine: Machine) -> None:
    machine.add(50, 49)
    machine.look(ROOT)
    machine.add(50, STEP)
    assert machine.look(ROOT) == {ROOT: {ROOT, STEP, CHILD, 50}}
