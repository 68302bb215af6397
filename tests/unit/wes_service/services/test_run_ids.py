from datetime import UTC, datetime, timedelta

from wes_service.services.submission import ID_DIGITS, new_run_id

NOW = datetime(2025, 6, 7, 12, 0, 0, 123456, tzinfo=UTC)


def test_ids_sort_by_time_for_thousands_of_years() -> None:
    moments = [NOW + timedelta(milliseconds=1) * (2**power) for power in range(46)]
    ids = [new_run_id(moment) for moment in moments]
    assert ids == sorted(ids)


def test_ids_of_one_moment_differ_and_are_short_and_plain() -> None:
    ids = {new_run_id(NOW) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(each) == 26 and set(each) <= set(ID_DIGITS) for each in ids)
