from datetime import UTC, datetime, timedelta

import pytest

from common.times import exact_time, parse_span, rfc3339


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("90min", 5400), (" 12h ", 43200), ("2d", 172800), ("1w", 604800)]
)
def test_a_span_is_a_number_and_its_unit(text: str, seconds: int) -> None:
    assert parse_span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "12", "-1h", "1.5h", "0h", "12m", "1h30min", "\u0661h", "9999999s"])
def test_anything_else_is_no_span(text: str) -> None:
    assert parse_span(text) is None


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2025-06-07T12:00:00Z", "2025-06-07T12:00:00+00:00"),
        ("2025-06-07t12:00:00.5z", "2025-06-07T12:00:00.500000+00:00"),
        ("2025-06-07 12:00:00.1234567891Z", "2025-06-07T12:00:00.123456+00:00"),
        ("2025-06-07T12:00:00+02:30", "2025-06-07T09:30:00+00:00"),
        ("2025-06-07T12:00:00-00:00", "2025-06-07T12:00:00+00:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
        ("2017-01-01T08:59:60.5+09:00", "2017-01-01T00:00:00.500000+00:00"),
        ("0000-02-29T00:00:00Z", "0001-01-01T00:00:00+00:00"),
        ("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00+00:00"),
        ("9999-12-31T23:59:60Z", "9999-12-31T23:59:59.999999+00:00"),
    ],
)
def test_a_time_of_rfc_3339_is_read_in_utc(text: str, iso: str) -> None:
    assert rfc3339(text).isoformat() == iso


@pytest.mark.parametrize("text", ["", "2025-06-07", "2025-06-07T12:00:00", "2025-02-29T00:00:00Z", "2025-06-07T12:00Z"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|day is out of range"):
        rfc3339(text)


def test_an_exact_time_can_be_read_again() -> None:
    moment = datetime(2025, 6, 7, 12, 0, 0, 5, tzinfo=UTC)
    assert exact_time(moment) == "2025-06-07T12:00:00.000005Z"
    assert rfc3339(exact_time(moment)) == moment
