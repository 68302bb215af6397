"""Times as the standard writes them."""

from datetime import UTC, datetime


def wes_time(moment: datetime) -> str:
    """`%Y-%m-%dT%H:%M:%SZ` in UTC (WES 1.1.0, Log.start_time)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: object) -> datetime | None:
    """A time that a TES wrote, in UTC; None where it is absent, empty or not readable."""
    if not isinstance(text, str) or not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
