"""Who may do what: tokens, web pages, and names of the server."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.wes.harness import ORIGIN, Api, make_api
from wes_service.auth.access import TOKEN_OWNER

TOKEN = "correct horse battery staple"
EVIL = "https://evil.example"
GOOD = "https://portal.example"


@pytest.fixture(scope="module")
def api_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Api]:
    """One for each set of settings: to read the API's document takes longer than these tests, which change nothing."""

    @functools.cache
    def made(**settings: object) -> Api:
        return make_api(tmp_path_factory.mktemp("api"), **settings)  # type: ignore[arg-type]

    return made


@pytest.fixture
def guarded(api_with: Callable[..., Api], tmp_path: Path) -> Api:
    api = api_with(token=TOKEN)
    api.empty(tmp_path)
    api.headers = {"Authorization": f"Bearer {TOKEN}"}
    return api


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        b"Bearer \xff",
        "Bearer \u00e9",
    ],
)
@pytest.mark.parametrize(
    "route", ["/runs", "/runs/x", "/runs/x/logs/stdout", "/nothing", "//ga4gh/tes/v1/tasks", "//x"]
)
def test_without_the_token_every_route_is_a_401(guarded: Api, route: str, header: str | bytes | None) -> None:
    guarded.headers = {} if header is None else {"Authorization": header}  # type: ignore[dict-item]
    if isinstance(header, str) and not header.isascii():
        guarded.headers = {"Authorization": header.encode("latin-1")}  # type: ignore[dict-item]
    response = guarded.get(route)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_without_the_token_no_run_is_taken_and_no_body_read(guarded: Api) -> None:
    guarded.headers = {}
    guarded.message(guarded.post_form(), 401)


@pytest.mark.parametrize("route", ["/service-info", "//ga4gh/tes/v1/service-info", "//healthz", "//auth-instructions"])
def test_what_a_service_says_of_itself_needs_no_token(guarded: Api, route: str) -> None:
    guarded.headers = {}
    assert guarded.get(route).status_code == 200
    guarded.headers = {"Authorization": "Bearer wrong"}
    assert guarded.get(route).status_code == 200


def test_the_root_needs_no_token_and_names_what_there_is(guarded: Api) -> None:
    guarded.headers = {}
    root = guarded.get("//")
    assert root.status_code == 200
    for name in ("service_info", "documentation", "authentication"):
        assert root.json()[name].startswith(ORIGIN)
        assert guarded.get("/" + root.json()[name].removeprefix(ORIGIN)).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_with_the_token_runs_belong_to_its_owner(guarded: Api, scheme: str) -> None:
    guarded.headers = {"Authorization": f"{scheme} {TOKEN}"}
    run_id = guarded.submit()
    assert guarded.stores.runs.get(TOKEN_OWNER, run_id).owner == TOKEN_OWNER


def test_a_run_from_before_there_was_a_token_is_not_the_tokens(api: Api, tmp_path: Path) -> None:
    run_id = api.submit()
    guarded = make_api(tmp_path, token=TOKEN, clock=api.clock, backing=api.backing)
    assert guarded.get(f"/runs/{run_id}").status_code == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "127.0.0.1.nip.io"]
)
def test_without_a_token_a_name_that_is_not_this_machines_is_refused(api: Api, host: str) -> None:
    assert api.get("/runs", headers={"Host": host}).status_code == 403
    api.message(api.post_form(headers={"Host": host}), 403)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080"])
def test_without_a_token_loopback_names_are_known(api: Api, host: str) -> None:
    assert api.get("/runs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ['a"b', "a b", "a/b", "a@b", "☃".encode(), "a:b"])
def test_what_is_no_host_name_is_a_400(api: Api, host: str | bytes) -> None:
    assert api.get("/runs", headers={"Host": host}).status_code == 400


def test_the_configured_name_is_known_and_used_in_links(tmp_path: Path) -> None:
    api = make_api(tmp_path, public_url="https://wes.example.org/prefix/")
    run_id = api.submit()
    url = api.json(f"/runs/{run_id}", headers={"Host": "wes.example.org"})["task_logs_url"]
    assert url == f"https://wes.example.org/prefix/ga4gh/wes/v1/runs/{run_id}/tasks"


def test_with_a_token_any_name_will_do(guarded: Api) -> None:
    assert guarded.get("/runs", headers={"Host": "wes.example.org"}).status_code == 200


@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:3000", "https://localhost:8080"])
def test_without_a_token_pages_from_elsewhere_can_start_nothing(api: Api, origin: str) -> None:
    message = api.message(api.post_form(headers={"Origin": origin}), 403)
    assert "WES_CORS_ORIGINS" in message


def test_a_cross_site_request_that_hides_its_origin_can_start_nothing(api: Api) -> None:
    api.message(api.post_form(headers={"Sec-Fetch-Site": "cross-site"}), 403)


def test_pages_from_elsewhere_can_cancel_nothing(api: Api) -> None:
    run_id = api.submit()
    assert api.request("POST", f"/runs/{run_id}/cancel", headers={"Origin": EVIL}).status_code == 403
    assert api.json(f"/runs/{run_id}/status")["state"] == "QUEUED"


@pytest.mark.parametrize("origin", [ORIGIN, GOOD])
def test_own_pages_and_named_origins_may_submit(api_with: Callable[..., Api], origin: str) -> None:
    api = api_with(cors_origins=(GOOD,))
    assert api.post_form(headers={"Origin": origin}).status_code == 200


@pytest.mark.parametrize("origins", [(), ("*",), ("*", GOOD)])
@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:3000", "http://127.0.0.1:8081", "*"])
@pytest.mark.parametrize("route", ["/runs", "/service-info", "//docs", "//ga4gh/tes/v1/tasks"])
def test_without_a_token_pages_from_elsewhere_can_read_nothing(
    api_with: Callable[..., Api], origins: tuple[str, ...], origin: str, route: str
) -> None:
    api = api_with(cors_origins=origins)
    assert "access-control-allow-origin" not in api.get(route, headers={"Origin": origin}).headers


def test_without_a_token_an_origin_that_is_named_may_read(tmp_path: Path) -> None:
    api = make_api(tmp_path, cors_origins=("*", GOOD))
    for route in ("/runs", "/service-info"):
        assert api.get(route, headers={"Origin": GOOD}).headers["access-control-allow-origin"] == GOOD


def test_with_a_token_every_page_may_read_service_info(tmp_path: Path) -> None:
    api = make_api(tmp_path, token=TOKEN, cors_origins=(GOOD,))
    assert api.get("/service-info", headers={"Origin": EVIL}).headers["access-control-allow-origin"] == "*"


def test_with_a_token_any_page_may_read_and_submit_with_the_token(guarded: Api) -> None:
    response = guarded.post_form(headers={"Origin": EVIL})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers


def test_with_a_token_only_named_origins_may_read_where_origins_are_named(tmp_path: Path) -> None:
    api = make_api(tmp_path, token=TOKEN, cors_origins=(GOOD,))
    good, evil = (api.get("/runs", headers={"Origin": origin}).headers for origin in (GOOD, EVIL))
    assert good["access-control-allow-origin"] == GOOD
    assert good["vary"] == "Origin"
    assert "access-control-allow-origin" not in evil


def test_pages_may_read_errors_too(guarded: Api) -> None:
    response = guarded.get("/runs/unknown", headers={"Origin": EVIL})
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (404, "*")


PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


def test_a_preflight_needs_no_token_and_names_what_may_be_sent(guarded: Api) -> None:
    guarded.headers = {}
    response = guarded.request("OPTIONS", "/runs", headers={"Origin": EVIL, **PREFLIGHT})
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "*"
    assert "Authorization" in response.headers["access-control-allow-headers"]
    assert "POST" in response.headers["access-control-allow-methods"]


def test_a_preflight_from_an_origin_that_may_not_is_a_403(api: Api) -> None:
    assert api.request("OPTIONS", "/runs", headers={"Origin": EVIL, **PREFLIGHT}).status_code == 403
