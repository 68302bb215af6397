"""Ids of runs: ordered by time, safe in paths, URLs and host names."""

import secrets
from datetime import datetime

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
TIME_DIGITS = 10
RANDOM_DIGITS = 16


def new_run_id(now: datetime) -> str:
    """26 characters of Crockford's base 32 in lower case: 48 bits of milliseconds, then 80 random ones."""
    return _digits(int(now.timestamp() * 1000), TIME_DIGITS) + _digits(secrets.randbits(80), RANDOM_DIGITS)


def _digits(number: int, count: int) -> str:
    return "".join(DIGITS[(number >> (5 * place)) & 31] for place in reversed(range(count)))
