"""Which files and URLs a task of a run may name."""

from pathlib import Path
from typing import Any

import pytest

from common.errors import InvalidField
from gateway.policy import FilePolicy
from tes.task import checked_task


@pytest.fixture
def policy(tmp_path: Path) -> FilePolicy:
    """Of one run in `run`, beside which lies the folder `other`; `data` is what the operator allows."""
    for name in ("run/attachments", "run/work", "run/control", "run/logs", "other/work", "data"):
        (tmp_path / name).mkdir(parents=True)
    return FilePolicy(
        readable=(tmp_path / "run/attachments", tmp_path / "data"),
        writable=(tmp_path / "run/work",),
    )


def an_input(url: Any, **fields: Any) -> Any:
    return {"inputs": [{"url": url, "path": "/x", **fields}]}


def an_output(url: Any, **fields: Any) -> Any:
    return {"outputs": [{"url": url, "path": "/x", **fields}]}


def test_files_of_the_run_and_allowed_data_may_be_read(policy: FilePolicy, tmp_path: Path) -> None:
    for name in ("run/attachments/a", "run/work/b", "data/c", "run/work"):
        url = f"file://{tmp_path}/{name}"
        assert policy.permitted(an_input(url)) == an_input(url)


def test_only_the_work_folder_may_be_written(policy: FilePolicy, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/run/work/new/folder"
    assert policy.permitted(an_output(url)) == an_output(url)
    for name in ("run/attachments/a", "data/c", "run/logs/tasks/t/stdout", "run", "other/work/x"):
        with pytest.raises(InvalidField, match=r"outputs\[0\]\.url: .* neither in this run's folder"):
            policy.permitted(an_output(f"file://{tmp_path}/{name}"))


@pytest.mark.parametrize(
    "name", ["run/control/tes-token", "run/logs/stdout", "run", "run/workother", "other/work/x", "", "run/work/link/x"]
)
def test_nothing_else_may_be_read(policy: FilePolicy, tmp_path: Path, name: str) -> None:
    (tmp_path / "run/work/link").symlink_to(tmp_path / "other/work")
    with pytest.raises(InvalidField, match=r"inputs\[1\]\.url: .* neither in this run's folder"):
        policy.permitted({"inputs": [{"content": "", "path": "/a"}, {"url": f"{tmp_path}/{name}", "path": "/b"}]})


@pytest.mark.parametrize(
    "url",
    [
        "file:{tmp}/other/work/x",
        "FILE://{tmp}/other/work/x",
        "FiLe:{tmp}/other/work/x",
        "file://LOCALHOST{tmp}/other/work/x",
        "file://{tmp}/run/work/%2e%2e/%2e%2e/other/work/x",
        "file://{tmp}/run/work/..%2f..%2fother/work/x",
        "{tmp}/run/work/../../other/work/x",
        "/{tmp}/other/work/x",
        "file:///{tmp}/other/work/x",
        "file://{tmp}/%6fther/work/x",
        "file:/etc/passwd",
        "FILE:///etc/passwd",
        "file://../../etc/passwd",
        "file:etc/passwd",
        "../other/work/x",
        "other/work/x",
        "file://host{tmp}/run/work/x",
        r"file:\\{tmp}\other",
        "unix:{tmp}/gw.sock",
        "data:text/plain,x",
        "",
        None,
    ],
)
def test_no_spelling_of_a_url_leads_out_of_the_run(policy: FilePolicy, tmp_path: Path, url: Any) -> None:
    spelled = url.format(tmp=tmp_path) if isinstance(url, str) else url
    with pytest.raises(InvalidField, match=r"inputs\[0\]\.url"):
        policy.permitted(an_input(spelled))
    with pytest.raises(InvalidField, match=r"outputs\[0\]\.url"):
        policy.permitted(an_output(spelled))


@pytest.mark.parametrize(
    "spelling",
    ["file:{path}/a%20b", "FILE://{path}/a%20b", "file://localhost{path}/./a b", "{path}/a b", "{path}//a b/"],
)
def test_the_one_spelling_that_was_checked_is_sent_on(policy: FilePolicy, tmp_path: Path, spelling: str) -> None:
    path = tmp_path / "run/work"
    both: Any = {**an_input(spelling.format(path=path)), **an_output(spelling.format(path=path))}
    sent: Any = policy.permitted(both)
    assert sent["inputs"][0]["url"] == sent["outputs"][0]["url"] == f"file://{path}/a%20b"


@pytest.mark.parametrize("scheme", ["http", "https", "ftp", "s3", "gs", "az", "drs"])
def test_inputs_may_come_from_other_servers(policy: FilePolicy, scheme: str) -> None:
    assert policy.permitted(an_input(f"{scheme.upper()}://x/y")) == an_input(f"{scheme}://x/y")


def test_outputs_go_to_object_stores_but_not_to_other_servers(policy: FilePolicy) -> None:
    assert policy.permitted(an_output("s3://bucket/key")) == an_output("s3://bucket/key")
    for scheme in ("http", "https", "ftp", "drs"):
        with pytest.raises(InvalidField, match=rf"outputs\[0\]\.url: a task can't write to {scheme}"):
            policy.permitted(an_output(f"{scheme}://x/y"))


def test_a_text_needs_no_url_and_a_url_beside_it_is_checked_all_the_same(policy: FilePolicy) -> None:
    assert policy.permitted(an_input("", content="")) == {"inputs": [{"path": "/x", "content": ""}]}
    assert policy.permitted(an_input(None, content="text")) == {"inputs": [{"path": "/x", "content": "text"}]}
    with pytest.raises(InvalidField, match=r"inputs\[0\]\.url"):
        policy.permitted(an_input("/etc/passwd", content="text"))


@pytest.mark.parametrize(("field", "item"), [("url", 7), ("url", ["file:///x"]), ("path", 1)])
def test_what_is_no_text_is_refused_by_its_name(field: str, item: Any) -> None:
    for files in ("inputs", "outputs"):
        with pytest.raises(InvalidField, match=rf"{files}\[0\]\.{field}: must be a string"):
            checked_task({"executors": [{"image": "i", "command": ["c"]}], files: [{field: item}]})


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_what_is_no_object_is_refused_and_not_passed_over(field: str) -> None:
    for item in ("file:///etc/passwd", None, 1, ["x"]):
        with pytest.raises(InvalidField, match=rf"{field}\[0\]: must be an object"):
            checked_task({"executors": [{"image": "i", "command": ["c"]}], field: [item]})


@pytest.mark.parametrize("path", ["/out/../../x", "/out/*/../x", r"/out/\.\./x*", r"/out/.\./x*", "out/*", "", None])
def test_no_wildcard_matches_outside_of_its_prefix(policy: FilePolicy, tmp_path: Path, path: Any) -> None:
    url = f"file://{tmp_path}/run/work/out"
    wanted = an_output(url, path="/out/*.txt", path_prefix="/out")
    assert policy.permitted(wanted) == wanted
    with pytest.raises(InvalidField, match=r"outputs\[0\]\.path:"):
        policy.permitted(an_output(url, path=path, path_prefix="/out"))
    if path:
        with pytest.raises(InvalidField, match=r"outputs\[0\]\.path_prefix:"):
            policy.permitted(an_output(url, path="/out/*", path_prefix=path))


def test_a_task_without_files_stays_as_it_is(policy: FilePolicy) -> None:
    assert policy.permitted({"name": "x"}) == {"name": "x"}
    assert policy.permitted({"inputs": [], "outputs": None}) == {"inputs": [], "outputs": []}


def test_a_way_that_can_not_be_looked_at_is_refused(policy: FilePolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `/proc/1/root` is to a worker that is not root: `realpath` raises there."""

    def refuse(_path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gateway.policy.os.path.realpath", refuse)
    with pytest.raises(InvalidField, match="neither in this run's folder"):
        policy.permitted(an_input("/proc/1/root/etc/passwd"))
