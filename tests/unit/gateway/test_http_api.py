"""Pages of the list of a run's tasks."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import InvalidField
from common.paging import encode
from gateway.followed_task import FollowedTask
from gateway.http_api import page_of
from tests.unit.gateway.conftest import Run


def many(run: Run, number: int) -> list[FollowedTask]:
    """The oldest first."""
    task = run.task()
    made = (replace(task, id=f"{n:06}", created=task.created + timedelta(seconds=n)) for n in range(number))
    return [FollowedTask(task=one, logs=Path("/nowhere")) for one in made]


@pytest.mark.parametrize(("number", "size"), [(0, 5), (1, 1), (5, 5), (6, 5), (5_000, 256)])
def test_pages_show_each_task_once_the_newest_first(run: Run, number: int, size: int) -> None:
    tasks, seen, token = many(run, number), list[str](), ""
    while True:
        page = page_of(tasks, token, size)
        seen += [one.task.id for one in page.items]
        assert len(page.items) <= size
        if page.next is None:
            break
        assert page.items
        token = encode(page.next)
    assert seen == [one.task.id for one in reversed(tasks)]


def test_a_token_of_another_list_is_refused(run: Run) -> None:
    page = page_of(many(run, 9), None, 2)
    with pytest.raises(InvalidField, match="page_token"):
        page_of(many(run, 5), encode(page.next), 2)
