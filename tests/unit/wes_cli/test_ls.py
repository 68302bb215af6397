import json
from datetime import UTC, datetime, timedelta

import pytest

from common.times import rfc3339
from tests.fakes.wes_server import NO_STATE, FakeRun, FakeWes, Moment
from tests.unit.wes_cli.conftest import Wes
from wes_cli.errors import InvalidArgument
from wes_cli.ls import RunListQuery, parse_state, parse_tag, parse_time_filter
from wes_cli.options import complete_state, complete_type

NOON = datetime(2025, 6, 7, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _runs(server: FakeWes) -> None:
    for name, now, tags, start in (
        ("r3", "RUNNING", {"batch": "7"}, "2025-06-07T12:00:00Z"),
        ("r2", "COMPLETE", {"batch": "7", "sample": "NA12878"}, "2025-06-06T12:00:00Z"),
        ("r1", "COMPLETE", {}, "2025-06-05T12:00:00Z"),
        ("r0", "QUEUED", {}, ""),
    ):
        server.runs[name] = FakeRun(id=name, moments=[Moment(state=now)], tags=tags, start_time=start)


def ids(output: str) -> list[str]:
    return [line.split()[0] for line in output.splitlines()[1:]]


def test_a_server_that_has_filters_is_sent_them(wes: Wes, server: FakeWes) -> None:
    result = wes(
        "ls", "--state", "running", "--state", "QUEUED", "--tag", "batch=7", "--type", "CWL", "--search", "x y"
    )
    assert result.exit_code == 0, result.output
    assert ids(result.stdout) == ["r3", "r0"]
    assert result.stderr == ""
    assert server.queries == [
        {"state": [NO_STATE]},
        {"state": ["RUNNING", "QUEUED"], "tag": ["batch:7"], "workflow_type": ["CWL"], "search": ["x y"]},
    ]


def test_times_are_sent_as_the_server_takes_them(wes: Wes, server: FakeWes) -> None:
    assert wes("ls", "--since", "2d", "--until", "2025-06-07T12:00+02:00").exit_code == 0
    sent = server.queries[-1]
    assert sent["until"] == ["2025-06-07T10:00:00.000000Z"]
    age = datetime.now(tz=UTC) - rfc3339(sent["since"][0])
    assert timedelta(days=2) <= age < timedelta(days=2, minutes=1)


def test_without_filters_the_server_is_asked_for_nothing_more(wes: Wes, server: FakeWes) -> None:
    assert ids(wes("ls").stdout) == ["r3", "r2", "r1", "r0"]
    assert server.queries == [{}, {"page_token": ["2"]}]


@pytest.mark.parametrize(
    ("options", "found", "told"),
    [
        (["--state", "COMPLETE"], ["r2", "r1"], "whole list"),
        (["--tag", "batch=7"], ["r3", "r2"], "whole list"),
        (["--tag", "batch=7", "--tag", "sample=NA12878"], ["r2"], "whole list"),
        (["--since", "2025-06-06T12:00Z"], ["r3", "r2"], "mean the start"),
        (["--since", "2025-06-05T12:00Z", "--until", "2025-06-06T12:00Z"], ["r1"], "mean the start"),
        (["--search", "na128"], ["r2"], "ids and tags"),
        (["--search", "R1"], ["r1"], "ids and tags"),
        (["--state", "COMPLETE", "-n", "1"], ["r2"], "whole list"),
    ],
)
def test_a_server_without_filters_is_told_of_and_its_list_looked_through(
    wes: Wes, server: FakeWes, options: list[str], found: list[str], told: str
) -> None:
    server.has_more = False
    result = wes("ls", *options)
    assert result.exit_code == 0, result.output
    assert ids(result.stdout) == found
    assert told in result.stderr


def test_a_type_can_not_be_told_by_the_list_of_the_standard(wes: Wes, server: FakeWes) -> None:
    server.has_more = False
    result = wes("ls", "--type", "CWL")
    assert (result.exit_code, "leave --type out" in result.stderr) == (2, True)


def test_no_run_that_fits_is_not_no_run_at_all(wes: Wes) -> None:
    result = wes("ls", "--state", "PAUSED")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no run fits\n")
    assert json.loads(wes("ls", "--state", "PAUSED", "--json").stdout) == []


@pytest.mark.parametrize(
    ("option", "word", "hint"),
    [
        ("--state", "DONE", "QUEUED, INITIALIZING"),
        ("--tag", "batch", "NAME=VALUE"),
        ("--since", "yesterday", "2d"),
        ("--until", "99999999999d", "2d"),
    ],
)
def test_a_filter_that_can_not_be_understood_is_named(wes: Wes, option: str, word: str, hint: str) -> None:
    result = wes("ls", option, word)
    assert result.exit_code == 2
    assert option in result.stderr
    assert hint in result.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90min", NOON - timedelta(minutes=90)),
        ("12h", NOON - timedelta(hours=12)),
        ("1w", NOON - timedelta(weeks=1)),
        ("2025-06-07T12:00:00Z", NOON),
        (None, None),
    ],
)
def test_a_time_is_a_span_or_a_moment(text: str | None, expected: datetime | None) -> None:
    assert parse_time_filter("--since", text, NOON) == expected


def test_a_time_without_an_offset_is_local() -> None:
    assert parse_time_filter("--since", "2025-06-07", NOON) == datetime(2025, 6, 7).astimezone()


@pytest.mark.parametrize(
    ("word", "text"), [("a=b", "a:b"), ("a:b", "a:b"), ("a:b=c", "a:b=c"), ("a=b:c", "a:b:c"), ("a=", "a:")]
)
def test_a_tag_may_be_written_in_both_ways(word: str, text: str) -> None:
    assert parse_tag(word) == text


def test_a_state_is_taken_in_any_case() -> None:
    assert parse_state("Complete") == "COMPLETE"
    with pytest.raises(InvalidArgument):
        parse_state("")


def test_nothing_given_means_every_run() -> None:
    assert RunListQuery().parameters() == {}


def test_states_and_types_are_completed(server: FakeWes) -> None:
    class Context:
        params = {"server": server.url}

    assert complete_state("c") == ["COMPLETE", "CANCELED", "CANCELING"]
    assert complete_type(Context(), "c") == ["CWL"]
