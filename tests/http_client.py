"""The HTTP client of tests, for servers of this machine."""

import httpx

from tests.waiting import PATIENCE

# A client of its own for each request, as `httpx.get` makes one, loads all certificates: 40 ms of CPU for a poll.
# No connection is kept, as tests end servers and start them again at the same port.
http = httpx.Client(
    verify=False,  # noqa: S501 - servers of tests have no certificates
    trust_env=False,
    timeout=PATIENCE,
    limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
)
