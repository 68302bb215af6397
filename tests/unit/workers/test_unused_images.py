from tes.task import Task, TaskState
from tests.unit.workers.test_run_outcome import a_task
from workers.run.collect import unused_images


def ran(name: str, *images: str) -> Task:
    lines = [f"the image {image} was not used: programs of this machine ran in its place" for image in images]
    return a_task(name, TaskState.COMPLETE, document={"logs": [{"system_logs": ["run in bubblewrap", *lines]}]})


def test_each_image_that_was_not_used_is_told_once_with_its_steps() -> None:
    tasks = [ran("a", "bwa:1"), ran("a_2", "bwa:1"), ran("sort", "samtools:1"), ran("plain"), ran("d", "default")]
    assert unused_images(tasks, "default") == [
        "The image bwa:1 was not used: a, a_2 ran with programs of the TES's machine.",
        "The image samtools:1 was not used: sort ran with programs of the TES's machine.",
    ]


def test_of_many_steps_a_few_are_named() -> None:
    [line] = unused_images([ran(f"s_{number}", "x:1") for number in range(9)], "default")
    assert "s_0, s_1, s_2, s_3, s_4 and 4 more steps ran" in line
