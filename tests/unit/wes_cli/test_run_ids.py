from datetime import UTC, datetime

import pytest

from tests.fakes.wes_server import FakeRun, FakeWes, Moment
from wes_cli.client import WesClient
from wes_cli.errors import InvalidArgument
from wes_cli.ls import find_run_id, newest_run
from wes_cli.views import RunListItem

EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _three_runs(server: FakeWes) -> None:
    for name in ("ab1", "ab2", "cd"):
        server.runs[name] = FakeRun(id=name, moments=[Moment(state="COMPLETE")])


def test_a_whole_id_is_itself_also_where_it_begins_another(server: FakeWes, client: WesClient) -> None:
    server.runs["ab"] = FakeRun(id="ab", moments=[Moment(state="COMPLETE")])
    assert find_run_id(client, "ab") == "ab"


def test_the_beginning_of_an_id_is_enough_also_on_a_later_page(client: WesClient) -> None:
    assert find_run_id(client, "c") == "cd"


def test_a_beginning_that_fits_several_names_them(client: WesClient) -> None:
    with pytest.raises(InvalidArgument, match="'ab' may mean ab1, ab2"):
        find_run_id(client, "ab")


def test_an_unknown_id_is_told(client: WesClient) -> None:
    with pytest.raises(InvalidArgument, match="no run of yours is called 'x'"):
        find_run_id(client, "x")


def test_last_is_the_one_that_started_last_whatever_the_order() -> None:
    runs = [RunListItem(id="a", state="COMPLETE", started=EARLY), RunListItem(id="b", state="COMPLETE", started=LATE)]
    assert newest_run(runs) == newest_run(runs[::-1]) == "b"


def test_a_run_that_waits_is_newer_than_any_that_started() -> None:
    runs = [RunListItem(id="b", state="COMPLETE", started=LATE), RunListItem(id="c", state="QUEUED")]
    assert newest_run(runs) == "c"


def test_with_no_run_last_says_how_to_make_one() -> None:
    with pytest.raises(InvalidArgument, match="wes run"):
        newest_run([])
