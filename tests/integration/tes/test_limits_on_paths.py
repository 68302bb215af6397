"""What a task may read and where its outputs may go: nothing outside of the allowed folders, by no trick."""

import os
from pathlib import Path

import pytest

from tests.integration.tes.server import TesServer, system_logs


def _refused_input(tes: TesServer, url: str, kind: str = "FILE") -> str:
    task = {"executors": [{"image": "a", "command": ["true"]}], "inputs": [{"url": url, "path": "/x", "type": kind}]}
    response = tes.client.post("/tasks", json=task)
    assert response.status_code == 400
    return str(response.json()["msg"])


def _refused_output(tes: TesServer, url: str) -> str:
    task = {"executors": [{"image": "a", "command": ["true"]}], "outputs": [{"url": url, "path": "/out/x"}]}
    response = tes.client.post("/tasks", json=task)
    assert response.status_code == 400
    return str(response.json()["msg"])


def test_inputs_outside_are_refused(tes: TesServer) -> None:
    for url in ("file:///etc/passwd", "/etc/passwd", "file:///", f"{tes.allow.as_uri()}-not/x", tes.folder.as_uri()):
        assert "inputs[0].url" in _refused_input(tes, url)


def test_parent_folders_are_refused_however_they_are_written(tes: TesServer) -> None:
    for url in (f"{tes.allow.as_uri()}/../x", f"{tes.allow.as_uri()}/%2e%2e/x", f"{tes.allow}/../allow/x"):
        assert "'..'" in _refused_input(tes, url)
        assert "'..'" in _refused_output(tes, url)


def test_a_symlink_that_leaves_is_refused(tes: TesServer) -> None:
    (tes.readable / "link").symlink_to("/etc")
    (tes.allow / "link").symlink_to("/var")
    assert "inputs[0].url" in _refused_input(tes, f"{tes.readable}/link/passwd")
    assert "inputs[0].url" in _refused_input(tes, f"{tes.readable}/link", "DIRECTORY")
    assert "outputs[0].url" in _refused_output(tes, f"{tes.allow}/link/x")


def test_a_symlink_that_stays_is_fine(tes: TesServer) -> None:
    (tes.readable / "file").write_text("x")
    (tes.allow / "link").symlink_to(tes.readable)
    task = tes.run("cat", "/x", inputs=[{"url": f"{tes.allow}/link/file", "path": "/x"}])
    assert task["state"] == "COMPLETE", task


def test_outputs_may_not_go_to_where_only_reading_is_allowed(tes: TesServer) -> None:
    assert "outputs[0].url" in _refused_output(tes, str(tes.readable / "x"))


def test_other_storage_is_refused_by_name(tes: TesServer) -> None:
    for url in ("s3://bucket/x", "az://bucket/x", "gs://bucket/x", "drs://host/x", "nonsense", "file://other-host/x"):
        assert "inputs[0].url" in _refused_input(tes, url)
    for url in ("s3://bucket/x", "ftp://host/x"):
        assert "outputs[0].url" in _refused_output(tes, url)


def test_a_symlink_that_appears_after_the_check_leads_nowhere(tes: TesServer) -> None:
    """The task waits while its input becomes a link to elsewhere."""
    cores = int(system_logs(tes.run("true", resources={"cpu_cores": 100_000})).rpartition(" has ")[2])
    source, target = tes.readable / "file", tes.allow / "later"
    source.write_text("x")
    target.mkdir(mode=0o777)
    blocker = tes.submit("sleep", "1000", resources={"cpu_cores": cores})
    reads = tes.submit("cat", "/x", inputs=[{"url": str(source), "path": "/x"}])
    writes = tes.submit("touch", "/out/x", outputs=[{"url": str(target / "x"), "path": "/out/x"}])
    source.unlink()
    source.symlink_to("/etc/hostname")
    target.rmdir()
    target.symlink_to(tes.folder)
    tes.cancel(blocker)
    for task in (tes.ended(reads), tes.ended(writes)):
        assert task["state"] == "SYSTEM_ERROR"
        assert "its real path counts" in system_logs(task)
    assert not (tes.folder / "x").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only a server that is root could lend its rights")
def test_a_file_that_the_task_could_not_read_itself_is_refused(tes: TesServer) -> None:
    source = tes.readable / "roots"
    source.write_text("secret")
    source.chmod(0o600)
    for path in ("/in/x", "/work/x"):
        task = tes.run("cat", path, executor={"workdir": "/work"}, inputs=[{"url": str(source), "path": path}])
        assert task["state"] == "SYSTEM_ERROR"
        assert "can't be read by uid 64321" in system_logs(task)


def test_a_link_in_an_input_folder_that_is_copied_must_stay_allowed(tes: TesServer) -> None:
    folder = tes.readable / "folder"
    folder.mkdir()
    (folder / "fine").symlink_to(tes.allow / "file")
    (tes.allow / "file").write_text("fine")
    inputs = [{"url": str(folder), "path": "/work/in", "type": "DIRECTORY"}]
    task = tes.run("cat", "/work/in/fine", executor={"workdir": "/work"}, inputs=inputs)
    assert task["logs"][0]["logs"][0]["stdout"] == "fine", task
    (folder / "bad").symlink_to("/etc/passwd")
    task = tes.run("true", executor={"workdir": "/work"}, inputs=inputs)
    assert task["state"] == "SYSTEM_ERROR"
    assert "bad, a symlink that leaves" in system_logs(task)


def test_what_a_task_links_into_its_output_folder_is_not_followed_while_writing(tes: TesServer) -> None:
    victim = tes.folder / "victim"
    victim.mkdir(exist_ok=True)
    victim.chmod(0o777)
    first = {"image": "a", "command": ["sh", "-c", f"rm -rf /out/d; ln -s {victim} /out/d"]}
    second = {"image": "a", "command": ["echo", "x"], "stdout": "/out/d/x"}
    task = tes.ended(tes.create({"executors": [first, second], "volumes": ["/out"]}))
    assert task["state"] == "SYSTEM_ERROR"
    assert list(Path(victim).iterdir()) == []
