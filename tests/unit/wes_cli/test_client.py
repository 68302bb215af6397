import io
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fakes.wes_server import API, FakeRun, FakeWes, Moment, serving
from wes_cli.client import WesClient, api_url
from wes_cli.errors import InvalidArgument, ServerRefused, ServerUnreachable
from wes_cli.private_server import free_port


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/ga4gh/wes/v1"),
        ("https://wes.example.org/", "https://wes.example.org/ga4gh/wes/v1"),
        ("https://wes.example.org/ga4gh/wes/v1/", "https://wes.example.org/ga4gh/wes/v1"),
        ("http://example.org/lab", "http://example.org/lab/ga4gh/wes/v1"),
    ],
)
def test_a_server_may_be_written_short(given: str, url: str) -> None:
    assert api_url(given) == url


@pytest.mark.parametrize("given", ["ftp://example.org", "", "http://"])
def test_what_is_no_server_is_refused(given: str) -> None:
    with pytest.raises(InvalidArgument, match="is not the URL of a server"):
        api_url(given)


def test_pages_are_fetched_until_the_last(server: FakeWes, client: WesClient) -> None:
    for number in range(5):
        server.runs[f"r{number}"] = FakeRun(id=f"r{number}", moments=[Moment(state="COMPLETE")])
    assert [run["run_id"] for page in client.run_pages() for run in page] == ["r0", "r1", "r2", "r3", "r4"]


def test_tasks_of_a_wes_1_0_server_come_from_the_run(server: FakeWes, client: WesClient) -> None:
    server.has_tasks = False
    server.runs["r"] = FakeRun(id="r", moments=[Moment(state="COMPLETE", tasks=[{"name": "a", "exit_code": 0}])])
    assert [task.name for task in client.tasks("r")] == ["a"]


def test_no_server_says_how_to_start_one() -> None:
    with pytest.raises(ServerUnreachable, match=r"no WES answers at .*'wes up'"):
        WesClient(f"http://127.0.0.1:{free_port()}").service_info()


def test_a_server_that_is_no_wes_is_told_apart(server: FakeWes) -> None:
    with pytest.raises(ServerRefused, match=r"is .* a WES server"):
        WesClient(server.url + "/other").service_info()


def test_the_message_of_an_error_is_the_servers(client: WesClient) -> None:
    with pytest.raises(ServerRefused, match=r"^there is no such run$") as caught:
        client.run("gone")
    assert caught.value.status == 404


def test_a_missing_token_is_asked_for(server: FakeWes, client: WesClient) -> None:
    server.token = "secret"
    with pytest.raises(ServerRefused, match="give --token-file"):
        client.service_info()
    assert WesClient(server.url, "secret").service_info().name == "fake"


def test_a_wrong_token_is_told_and_not_shown(server: FakeWes) -> None:
    server.token = "secret"
    with pytest.raises(ServerRefused, match="does not take this token") as caught:
        WesClient(server.url, "wrong-one").service_info()
    assert "wrong-one" not in str(caught.value)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def patient(server: FakeWes, said: list[str]) -> WesClient:
    return WesClient(server.url, patience=10.0, on_retry=said.append)


def test_a_busy_server_is_asked_again_from_the_first_question_on_and_that_is_told_once(
    server: FakeWes, patient: WesClient, said: list[str]
) -> None:
    server.failures = [503, 502, 504]
    assert patient.service_info().name == "fake"
    assert said == ["not now; trying again for 10 s"]


def test_a_log_is_asked_for_again_too(server: FakeWes, patient: WesClient) -> None:
    server.files["/log"] = b"0123"
    server.failures = [503, 502]
    assert b"".join(patient.content("/log")) == b"0123"


def test_a_server_that_starts_late_is_waited_for(said: list[str]) -> None:
    port = free_port()
    client = WesClient(f"http://127.0.0.1:{port}", patience=20.0, on_retry=said.append)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.service_info)
        while not said:
            time.sleep(0.01)
        with serving(FakeWes(), port=port):
            assert asked.result().name == "fake"


def test_patience_ends(server: FakeWes) -> None:
    client = WesClient(server.url, patience=0.5)
    server.failures = [503] * 20
    with pytest.raises(ServerRefused, match="not now"):
        client.service_info()


def test_a_server_error_is_not_asked_again(server: FakeWes, patient: WesClient) -> None:
    server.failures = [500]
    with pytest.raises(ServerRefused, match="not now"):
        patient.service_info()
    assert len(server.asked) == 1


def test_a_submission_is_never_sent_twice_without_a_key(server: FakeWes, patient: WesClient) -> None:
    server.failures = [503]
    with pytest.raises(ServerRefused):
        patient.submit({"workflow_type": "CWL"})
    assert [entry[0] for entry in server.asked].count("POST") == 1


def test_a_submission_with_a_key_is_sent_again_whole(server: FakeWes, patient: WesClient) -> None:
    server.failures = [503]
    patient.submit({"workflow_type": "CWL"}, {"a.txt": io.BytesIO(b"all of it")}, "key")
    assert [entry[0] for entry in server.asked].count("POST") == 2
    assert server.submissions[-1].files == {"a.txt": b"all of it"}


@pytest.mark.parametrize("ranges", [True, False])
def test_a_log_is_read_on_from_an_offset(server: FakeWes, client: WesClient, ranges: bool) -> None:
    server.has_ranges = ranges
    server.files["/log"] = b"0123456789"
    assert b"".join(client.content("/log", 4)) == b"456789"
    assert b"".join(client.content("/log", 10)) == b""


def test_the_token_goes_to_the_servers_own_origin_only(server: FakeWes) -> None:
    server.files["/log"] = b"x"
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    client = WesClient(server.url, "secret")
    list(client.content(f"{elsewhere}/log"))
    list(client.content("/log"))
    assert [entry[2].get("Authorization") for entry in server.asked] == [None, "Bearer secret"]


def test_run_ids_are_quoted_in_urls(server: FakeWes, client: WesClient) -> None:
    with pytest.raises(ServerRefused):
        client.run("../../etc")
    assert server.asked[-1][1].startswith(f"{API}/runs/")
