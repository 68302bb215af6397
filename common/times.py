"""Times as the standard writes them, and as clients may; spans of time as people write them."""

import re
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(
    r"(?P<year>\d{4})(?P<day>-\d\d-\d\d)[Tt ](?P<minute>(?:[01]\d|2[0-3]):\d\d):(?P<second>\d\d)(?P<fraction>\.\d+)?"
    r"(?P<zone>[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_SPAN = re.compile(r"(\d{1,6})\s*(s|min|h|d|w)", re.ASCII)
SPAN_UNITS = {
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
FIRST, LAST = (datetime.fromisoformat(text) for text in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"))


def wes_time(moment: datetime) -> str:
    """`%Y-%m-%dT%H:%M:%SZ` in UTC (WES 1.1.0, Log.start_time)."""
    # Not strftime, which takes five times as long: a page has thousands of times.
    return (moment if moment.tzinfo is UTC else moment.astimezone(UTC)).isoformat()[:19] + "Z"


def exact_time(moment: datetime) -> str:
    """The same to the microsecond, for what may happen twice in a second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def rfc3339(text: str) -> datetime:
    """A date and time with its offset (RFC 3339, section 5.6), in UTC, cut to microseconds; `ValueError`.

    A leap second counts as the one after it. What lies before the year 1 or after 9999 is the first or last moment.
    """
    found = _RFC3339.fullmatch(text)
    if not found:
        raise ValueError("this is no date and time of RFC 3339")
    year, second = int(found["year"]), found["second"]
    is_leap = second == "60"
    # Read in a leap year that Python knows, as year 0 is one that it does not.
    moment = datetime.fromisoformat(
        f"{year or 4:04}{found['day']}T{found['minute']}:{'59' if is_leap else second}{found['fraction'] or ''}"
        f"{found['zone'].upper()}"
    )
    try:
        return moment.replace(year=year).astimezone(UTC) + timedelta(seconds=is_leap)
    except (ValueError, OverflowError):
        return LAST if year > 1 else FIRST


def parse_time(text: object) -> datetime | None:
    """A time that a TES wrote, in UTC; None where it is absent, empty or not readable."""
    if not isinstance(text, str) or not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_span(text: str) -> timedelta | None:
    """`90s`, `90min`, `12h`, `2d` or `1w`; None for anything else, and for no time at all."""
    found = _SPAN.fullmatch(text.strip())
    return (int(found[1]) * SPAN_UNITS[found[2]] or None) if found else None
