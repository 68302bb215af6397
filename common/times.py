"""Times as the standard writes them, and as clients may."""

import re
from datetime import UTC, datetime, timedelta, timezone

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
LEAP_SECOND = 60
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
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    micros = int((found[7] or "")[:6].ljust(6, "0"))
    offset = timedelta(hours=int(found[9] or 0), minutes=int(found[10] or 0))
    zone = timezone(-offset if found[8] == "-" else offset)
    leap = second == LEAP_SECOND
    # Checked in a leap year that Python knows, as year 0 is one that it does not.
    moment = datetime(year or 4, month, day, hour, minute, 59 if leap else second, micros, zone)
    try:
        return moment.replace(year=year).astimezone(UTC) + timedelta(seconds=leap)
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
