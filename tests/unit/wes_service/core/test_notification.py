"""When a notification is tried again, and what it says."""

from datetime import UTC, datetime, timedelta

import pytest

from wes_service.core.notification import DeliveryFailure, Notification, cloud_event, next_attempt
from wes_service.core.run import Owner

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AWAY = DeliveryFailure(problem="away")


def waits(attempts: int, failure: DeliveryFailure = AWAY) -> float:
    due = next_attempt(failure, attempts, BEGAN, BEGAN)
    assert due is not None
    return (due - BEGAN).total_seconds()


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 5), (2, 20), (3, 80), (4, 320), (5, 1280), (6, 3600), (90, 3600)]
)
def test_the_waits_get_longer_up_to_an_hour(attempts: int, seconds: float) -> None:
    assert 0.8 * seconds <= waits(attempts) <= 1.2 * seconds


def test_a_receiver_may_ask_for_more_but_not_for_more_than_an_hour() -> None:
    assert waits(1, DeliveryFailure(problem="busy", after=timedelta(seconds=90))) == 90
    assert waits(1, DeliveryFailure(problem="busy", after=timedelta(days=9))) == 3600


def test_it_is_given_up_after_a_day_or_when_the_receiver_says_so() -> None:
    assert next_attempt(AWAY, 9, BEGAN, BEGAN + timedelta(hours=24)) is None
    assert next_attempt(DeliveryFailure(problem="gone", final=True), 1, BEGAN, BEGAN) is None


def test_a_receiver_that_is_away_for_a_day_is_asked_about_thirty_times() -> None:
    now, attempts = BEGAN, 1
    while (due := next_attempt(AWAY, attempts, BEGAN, now)) is not None:
        now, attempts = due, attempts + 1
    assert 24 <= attempts <= 36
    assert now - BEGAN <= timedelta(hours=25.2)


def test_the_message_is_the_same_for_each_receiver() -> None:
    one, other = (
        Notification(
            id=f"r-ended{suffix}",
            run_id="r",
            owner=Owner(issuer="i", subject="s"),
            hook=hook,
            url=None,
            event={"run_id": "r", "state": "COMPLETE", "end_time": "2026-01-02T03:04:05Z"},
            created=BEGAN,
            since=BEGAN,
            due=BEGAN,
        )
        for suffix, hook in (("", ""), ("-lims", "lims"))
    )
    assert cloud_event(one, "https://wes.example/") == cloud_event(other, "https://wes.example")
    assert cloud_event(one, "") == {
        "specversion": "1.0",
        "id": "r-ended",
        "source": "/ga4gh/wes/v1",
        "type": "org.wes-tes.run.ended",
        "subject": "r",
        "time": "2026-01-02T03:04:05Z",
        "datacontenttype": "application/json",
        "data": one.event,
    }
