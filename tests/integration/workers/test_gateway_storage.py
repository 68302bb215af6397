"""The gateway before a TES that is reached by way of a real S3 server, which may be away."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tes.task import TASK_TERMINAL
from tests import waiting
from tests.fakes.tes_server import BadTes, bad_tes
from tests.integration.workers.conftest import Rig, rigged
from tests.s3_fixture import S3Server, real_s3

until = partial(waiting.until, seconds=60.0, pause=0.02)
Storing = Callable[..., AbstractContextManager[Rig]]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with real_s3() as server:
        yield server


@pytest.fixture
def storing(open_tmp: Path, tes: BadTes, s3: S3Server) -> Storing:
    """Starts a gateway whose TES `far` has the storage `s3://runs/far`; `more` are tables of other servers."""

    @contextmanager
    def start(more: str = "", **settings: Any) -> Iterator[Rig]:
        file = open_tmp / "wes.toml"
        table = f'[tes.far]\nurl = "{tes.url}"\nstorage = "{s3.url}/far/"\nholds = ["s3://hospital"]\n'
        file.write_text(more + table + s3.table + "retry_seconds = 0\n")
        with rigged(open_tmp, tes, config=file, tes_urls=(), tes_token_file=(), **settings) as rig:
            yield rig

    return start


def written(rig: Rig, name: str, content: bytes | str = "content") -> dict[str, str]:
    """A file of the run, as an input of a task."""
    path = rig.scope.folder.work / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return {"url": f"file://{path}", "path": f"/in/{name}"}


def output(rig: Rig, name: str, kind: str = "FILE") -> dict[str, str]:
    return {"url": f"file://{rig.scope.folder.work / name}", "path": f"/out/{name}", "type": kind}


def stored(rig: Rig, s3: S3Server, tes: BadTes, content: bytes) -> None:
    """As the TES does for the first output of the newest task."""
    until(lambda: tes.bodies)
    s3.stores.put(tes.bodies[-1]["outputs"][0]["url"], content)


def test_files_go_there_before_the_task_and_come_back_before_it_has_ended(
    storing: Storing, tes: BadTes, s3: S3Server
) -> None:
    tes.script = ["RUNNING"]
    with storing() as rig:
        task_id = rig.post(inputs=[written(rig, "a")], outputs=[output(rig, "b")])
        stored(rig, s3, tes, b"made")
        (sent,) = tes.bodies
        assert sent["inputs"][0]["url"].startswith(f"{s3.url}/far/run-1/contents/")
        assert all(one["url"].startswith(f"{s3.url}/far/run-1/outputs/{task_id}/1/") for one in sent["outputs"])
        assert s3.stores.head(sent["inputs"][0]["url"]).size == len("content")
        tes.script = ["COMPLETE"]
        document = rig.wait(task_id)
        assert (rig.scope.folder.work / "b").read_bytes() == b"made"
        assert document["inputs"] == [written(rig, "a")]
        assert document["outputs"][0] == output(rig, "b")
        assert "s3://" not in str(document)
        assert "s3://" not in str(rig.stores.tasks.get("run-1", task_id))


def test_a_store_that_is_away_for_a_while_costs_time_only(storing: Storing, tes: BadTes, s3: S3Server) -> None:
    tes.script = ["RUNNING"]
    with storing(tes_patience_seconds=60) as rig:
        s3.stop()
        task_id = rig.post(inputs=[written(rig, "away")], outputs=[output(rig, "b")])
        (line,) = until(lambda: rig.gateway.notes("run-1"))
        assert line.startswith("waiting for the storage of the TES http://")
        assert "the object store s3://runs/ does not do what it was asked" in line
        assert tes.bodies == []
        s3.start()
        stored(rig, s3, tes, b"made")
        s3.stop()
        tes.script = ["COMPLETE"]
        time.sleep(0.5)
        assert rig.get(task_id)["state"] not in TASK_TERMINAL
        s3.start()
        assert rig.wait(task_id)["state"] == "COMPLETE"
        assert (rig.scope.folder.work / "b").read_bytes() == b"made"


def test_a_store_that_stays_away_is_the_services_failure(storing: Storing, tes: BadTes, s3: S3Server) -> None:
    tes.script = ["RUNNING"]
    with storing(tes_patience_seconds=1) as rig:
        task_id = rig.post(outputs=[output(rig, "b")])
        until(lambda: tes.bodies)
        s3.stop()
        try:
            tes.script = ["COMPLETE"]
            document = rig.wait(task_id)
        finally:
            s3.start()
        assert document["state"] == "SYSTEM_ERROR"
        assert "what the task left could not be fetched for 1 s" in (rig.session.failure or "")


def test_a_task_is_cancelled_while_its_files_are_moved(storing: Storing, tes: BadTes, s3: S3Server) -> None:
    with storing(tes_patience_seconds=60) as rig:
        s3.stop()
        try:
            task_id = rig.post(inputs=[written(rig, "c", "never there")])
            with rig.client() as client:
                client.post(f"/tasks/{task_id}:cancel")
            assert rig.wait(task_id)["state"] == "CANCELED"
        finally:
            s3.start()
        assert tes.bodies == []


def test_an_input_that_is_not_there_ends_the_task_with_a_sentence(storing: Storing, tes: BadTes) -> None:
    with storing() as rig:
        document = rig.wait(rig.post(inputs=[{"url": f"file://{rig.scope.folder.work}/no", "path": "/in/no"}]))
        assert document["state"] == "SYSTEM_ERROR"
        assert "/no can't be read: No such file or directory" in str(document["logs"])
        assert (tes.bodies, rig.session.failure) == ([], None)


def test_outputs_that_are_too_large_end_the_task_and_are_not_fetched(
    storing: Storing, tes: BadTes, s3: S3Server
) -> None:
    tes.script = ["RUNNING"]
    with storing(run_disk_gb=1e-6) as rig:
        task_id = rig.post(outputs=[output(rig, "b")])
        stored(rig, s3, tes, b"x" * 2000)
        tes.script = ["COMPLETE"]
        document = rig.wait(task_id)
        assert document["state"] == "SYSTEM_ERROR"
        assert "WES_RUN_DISK_GB" in str(document["logs"])
        assert not (rig.scope.folder.work / "b").exists()


def test_a_task_that_is_sent_again_writes_elsewhere(storing: Storing, tes: BadTes, s3: S3Server) -> None:
    tes.script = ["PREEMPTED", "PREEMPTED", "RUNNING"]
    with storing() as rig:
        task_id = rig.post(outputs=[output(rig, "b")])
        stored(rig, s3, tes, b"of the first, half made")
        until(lambda: len(tes.bodies) == 2)
        stored(rig, s3, tes, b"of the second")
        tes.script = ["COMPLETE"]
        assert rig.wait(task_id)["state"] == "COMPLETE"
        assert (rig.scope.folder.work / "b").read_bytes() == b"of the second"


@pytest.mark.parametrize("reads", ["", "s3://hospital/reads"])
def test_a_task_that_is_lost_with_its_server_goes_to_another_one_that_can_have_it(
    storing: Storing, tes: BadTes, s3: S3Server, reads: str
) -> None:
    tes.script = ["RUNNING"]
    with bad_tes() as other, storing(_dearer(other), tes_patience_seconds=1) as rig:
        task_id = rig.post(inputs=[{"url": f"{reads}/a", "path": "/a"}] if reads else [], outputs=[output(rig, "b")])
        until(lambda: rig.get(task_id)["state"] == "RUNNING")
        tes.down = 503
        if reads:
            assert rig.wait(task_id)["state"] == "SYSTEM_ERROR"
            said = f"the task 'align' was lost: the TES {tes.url} could not be asked for 1 s: "
            assert (other.bodies, (rig.session.failure or "").startswith(said)) == ([], True)
            return
        stored(rig, s3, other, b"made elsewhere")
        document = rig.wait(task_id)
        assert (document["state"], rig.session.failure) == ("COMPLETE", None)
        assert (rig.scope.folder.work / "b").read_bytes() == b"made elsewhere"
        assert f"the TES {tes.url} could not be asked for 1 s" in document["logs"][0]["system_logs"][-1]
        assert rig.stores.tasks.get("run-1", task_id).route == "sent to other: far could not be asked for 1 s"
        tes.down = None
        until(lambda: tes.canceled == {"0"})


def _dearer(tes: BadTes) -> str:
    return f'[tes.other]\nurl = "{tes.url}"\nstorage = "s3://runs/other"\ncost = 1\n'


def test_what_a_tes_claims_of_files_elsewhere_moves_none_of_them(storing: Storing, tes: BadTes, s3: S3Server) -> None:
    other, shadow = f"{s3.url}/far/run-2/contents/{'0' * 64}", "file:///etc/shadow"
    s3.stores.put(other, b"somebody's")
    tes.script = ["RUNNING"]
    with storing() as rig:
        task_id = rig.post(outputs=[output(rig, "b")])
        stored(rig, s3, tes, b"made")
        below = tes.bodies[0]["outputs"][0]["url"].rpartition("/")[0]
        for key in ("000099", "000000.txt", "x"):
            s3.stores.put(f"{below}/{key}", b"not declared")
        lie = {"url": other, "path": "/out/b", "size_bytes": str(2**62)}
        claimed = [lie, {**lie, "url": shadow}, {**lie, "url": f"{below}/../../../run-2", "size_bytes": "-1"}]
        streams = {"exit_code": 0, "end_time": "2026-01-01T00:00:00Z", "stdout": other, "stderr": shadow}
        tes.documents = {
            "inputs": [{"url": shadow, "path": "/in/x"}],
            "outputs": claimed,
            "logs": [{"logs": [streams], "outputs": claimed, "system_logs": [f"see {other}"]}],
        }
        tes.script = ["COMPLETE"]
        document = rig.wait(task_id)
        found = {str(path.relative_to(rig.scope.folder.work)) for path in rig.scope.folder.work.rglob("*")}
        assert (document["state"], found) == ("COMPLETE", {"b"})
        assert (rig.scope.folder.work / "b").read_bytes() == b"made"
        assert (document.get("inputs"), document["outputs"][0]) == (None, output(rig, "b"))
        assert not [one for one in s3.requests() if one.operation == "GetObject" and "/run-2/" in one.key]
        asked = {"url": document["logs"][0]["outputs"][0]["url"], "path": "/in/x", "type": "FILE"}
        with rig.client() as client:
            refused = client.post("/tasks", json={"executors": [{"image": "i", "command": ["x"]}], "inputs": [asked]})
        assert refused.status_code == 400


def test_a_task_can_not_name_the_files_of_another_run(storing: Storing, tes: BadTes, s3: S3Server) -> None:
    with storing() as rig, rig.client() as client:
        item = {"url": f"{s3.url}/far/", "path": "/all", "type": "DIRECTORY"}
        answer = client.post("/tasks", json={"executors": [{"image": "i", "command": ["x"]}], "inputs": [item]})
        assert (answer.status_code, tes.bodies) == (400, [])
        assert "inputs[0].url: is where this service keeps the files of runs" in answer.text


def withheld(rig: Rig, s3: S3Server, tes: BadTes, content: bytes) -> str:
    """The URL of an output that stayed in the store."""
    tes.script = ["RUNNING"]
    task_id = rig.post(outputs=[output(rig, "kept")], tags={"wes.outputs": "on-demand"})
    stored(rig, s3, tes, content)
    tes.script = ["COMPLETE"]
    assert rig.wait(task_id)["state"] == "COMPLETE"
    assert (rig.scope.folder.work / "kept").stat().st_size == len(content)
    return f"file://{rig.scope.folder.work}/kept"


def asked(rig: Rig, body: Any, wait: int = 20) -> tuple[int, dict[str, Any]]:
    with rig.client() as client:
        answer = client.post("/outputs:fetch", json=body, headers={"Prefer": f"wait={wait}"})
        return answer.status_code, answer.json()


def test_an_output_on_demand_comes_when_the_engine_asks_for_it(storing: Storing, tes: BadTes, s3: S3Server) -> None:
    with storing() as rig:
        url = withheld(rig, s3, tes, b"made")
        s3.stop()
        try:
            status, said = asked(rig, {"url": url})
            assert (status, "s3://runs/ does not do" in str(said)) == (503, True)
        finally:
            s3.start()
        assert asked(rig, {"url": url}) == (200, {"fetched": True})
        assert (rig.scope.folder.work / "kept").read_bytes() == b"made"
        assert asked(rig, {"url": url}) == (200, {"fetched": True})
        read = [one.key for one in s3.requests() if one.operation == "GetObject" and one.status == 200]
        assert len([key for key in read if key == tes.bodies[-1]["outputs"][0]["url"].removeprefix(f"{s3.url}/")]) == 1


def test_an_object_that_is_gone_is_told_at_once(storing: Storing, tes: BadTes, s3: S3Server) -> None:
    with storing() as rig:
        url = withheld(rig, s3, tes, b"made")
        s3.stores.delete_below(f"{s3.url}/far")
        status, said = asked(rig, {"url": url})
        assert (status, "any more" in said["msg"], "s3://" in said["msg"]) == (410, True, False)


def test_nobody_fetches_what_is_not_in_the_runs_work_folder(
    storing: Storing, tes: BadTes, s3: S3Server, tmp_path: Path
) -> None:
    with storing() as rig:
        url = withheld(rig, s3, tes, b"made")
        folder = rig.scope.folder
        (folder.work / "link").symlink_to(tmp_path)
        (folder.root / "elsewhere").mkdir()
        names = ["../other/work/x", "logs/x", "work/../../other/x", "work/link/x", "elsewhere/x", "transfers/withheld"]
        urls = [*(f"file://{folder.root}/{name}" for name in names), "file:///etc/passwd", f"{s3.url}/far/run-1/x"]
        for body in (*({"url": one} for one in urls), {}, [], {"url": 1}, {"url": "x" * 1000}):
            assert asked(rig, body)[0] == 400, body
        with rig.client("another run's") as client:
            assert client.post("/outputs:fetch", json={"url": url}).status_code == 401
        assert (folder.work / "kept").stat().st_mode & 0o777 == 0


def test_final_outputs_wait_for_a_store_that_is_away(storing: Storing, tes: BadTes, s3: S3Server) -> None:
    with storing(tes_patience_seconds=60) as rig:
        url = withheld(rig, s3, tes, b"made")
        s3.stop()
        fetching = rig.gateway.begin_fetch(rig.session, [url, url])
        time.sleep(1)
        s3.start()
        fetching.result(60)
        assert (rig.scope.folder.work / "kept").read_bytes() == b"made"
