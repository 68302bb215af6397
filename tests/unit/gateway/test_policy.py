"""Which files and URLs a task of a run may name."""

from pathlib import Path
from typing import Any

import pytest

from common.engine import RUN_ROOT, RunFolder
from common.errors import InvalidField
from common.run_root import RunRoot
from gateway.policy import (
    FilePolicy,
    step_attempt,
    step_key,
    tagged,
    with_backend_parameters,
    with_log_files,
    with_resources,
)
from tes.task import TAG_GATEWAY, TAG_KEY, TAG_OWNER, TAG_RUN, TAG_STEP, checked_task
from wes_service.core.run import ANONYMOUS


@pytest.fixture
def policy(tmp_path: Path) -> FilePolicy:
    """Of one run in `run`, beside which lies the folder `other`; `data` is what the operator allows."""
    for name in ("run/attachments", "run/work", "run/control", "run/logs", "other/work", "data"):
        (tmp_path / name).mkdir(parents=True)
    return FilePolicy(root=RunRoot(folder=RunFolder(root=tmp_path / "run"), data=(tmp_path / "data",)))


@pytest.fixture
def sandboxed(policy: FilePolicy, tmp_path: Path) -> FilePolicy:
    """Of the same run, whose engine sees it at its own root."""
    folder = RunFolder(root=tmp_path / "run", seen_root=RUN_ROOT)
    return FilePolicy(root=RunRoot(folder=folder, data=policy.root.data))


NOT_ALLOWED = r"(neither in this run's folder|to what a task of this run may not (read|write to))"


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
        with pytest.raises(InvalidField, match=rf"outputs\[0\]\.url: .* {NOT_ALLOWED}"):
            policy.permitted(an_output(f"file://{tmp_path}/{name}"))


@pytest.mark.parametrize(
    "name", ["run/control/tes-token", "run/logs/stdout", "run", "run/workother", "other/work/x", "", "run/work/link/x"]
)
def test_nothing_else_may_be_read(policy: FilePolicy, tmp_path: Path, name: str) -> None:
    (tmp_path / "run/work/link").symlink_to(tmp_path / "other/work")
    with pytest.raises(InvalidField, match=rf"inputs\[1\]\.url: .* {NOT_ALLOWED}"):
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


def test_a_way_that_can_not_be_looked_at_is_refused(
    policy: FilePolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a folder of another user's is to a worker that is not root."""

    def refuse(_path: str) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("common.run_root.os.readlink", refuse)
    with pytest.raises(InvalidField, match=r"inputs\[0\]\.url: .* may not read"):
        policy.permitted(an_input(f"{tmp_path}/run/work/closed/x"))


@pytest.mark.parametrize(
    "url",
    [
        "/wes/run/../etc/passwd",
        "/wes/run/work/../../run/control/tes-token",
        "file:///wes/run/../../etc/passwd",
        "file:///wes/run/work/%2e%2e/control/tes-token",
        "file:///wes/run/work/..%2fcontrol/tes-token",
        "file:///wes/run/%63ontrol/tes-token",
        "file:///wes%2Frun/work/x",
        "file:///wes/run/control/tes-token",
        "file:///wes/run/logs/stderr",
        "file:///wes/run",
        "file:///wes/run/workother/x",
        "file:///wes/runs/work/x",
        "file:///wes/run2/work/x",
        "file://{tmp}/run/work/x",
        "file://{tmp}/other/work/x",
        "{tmp}/run/attachments/a",
        "//wes/run/control/tes-token",
        "file:////wes/run//control/./tes-token",
        "file://wes/run/work/x",
    ],
)
def test_an_engine_in_a_sandbox_names_nothing_but_its_root_and_data(
    sandboxed: FilePolicy, tmp_path: Path, url: str
) -> None:
    for field, item in (("inputs", an_input), ("outputs", an_output)):
        with pytest.raises(InvalidField, match=rf"{field}\[0\]\.url"):
            sandboxed.permitted(item(url.format(tmp=tmp_path)))


def test_what_an_engine_in_a_sandbox_may_name_stays_as_it_named_it(sandboxed: FilePolicy, tmp_path: Path) -> None:
    for url in ("file:///wes/run/attachments/a%20b", "file:///wes/run/work/not/there", f"file://{tmp_path}/data/x"):
        assert sandboxed.permitted(an_input(url)) == an_input(url)
    assert sandboxed.permitted(an_input("/wes/run/work//./a b/")) == an_input("file:///wes/run/work/a%20b")
    assert sandboxed.permitted(an_output("file:///wes/run/work/out")) == an_output("file:///wes/run/work/out")


def test_a_symlink_is_followed_as_the_engine_sees_it_and_what_it_leads_to_is_named(
    sandboxed: FilePolicy, tmp_path: Path
) -> None:
    work = tmp_path / "run/work"
    (work / "one").symlink_to("/wes/run/work/two/c.txt")
    (work / "two").symlink_to("../attachments/../attachments")
    (work / "data").symlink_to(tmp_path / "data")
    (work / "above").symlink_to("../../../wes/run/work")
    for name, real in (
        ("work/one", "/wes/run/attachments/c.txt"),
        ("work/two", "/wes/run/attachments"),
        ("work/data/x", f"{tmp_path}/data/x"),
        ("work/above/above/y", "/wes/run/work/y"),
    ):
        assert sandboxed.permitted(an_input(f"file:///wes/run/{name}")) == an_input(f"file://{real}")
    with pytest.raises(InvalidField, match=r"outputs\[0\]\.url: .* by a symlink to what .* may not write to"):
        sandboxed.permitted(an_output("/wes/run/work/two/new"))


@pytest.mark.parametrize(
    "target",
    [
        "{tmp}/other/work",
        "{tmp}/run/attachments",
        "/etc",
        "/wes/run/control",
        "../control",
        "../../other/work",
        "../../../../../../../../etc",
        "/proc/self/root/etc",
        "loop",
    ],
)
def test_a_symlink_that_a_task_planted_does_not_lead_a_tes_anywhere(
    sandboxed: FilePolicy, tmp_path: Path, target: str
) -> None:
    (tmp_path / "run/work/loop").symlink_to(target.format(tmp=tmp_path))
    for item in (an_input, an_output):
        with pytest.raises(InvalidField, match=r"\[0\]\.url: /wes/run/work/loop.* by a symlink"):
            sandboxed.permitted(item("file:///wes/run/work/loop/x"))


LOGS = Path("/data/runs/r1/logs/tasks/t1")


def a_task(**fields: Any) -> Any:
    return {"name": "align", "executors": [{"image": "debian", "command": ["true"]}], **fields}


def test_an_executor_without_files_gets_one_for_each_stream_as_an_output() -> None:
    body: Any = with_log_files(a_task(), LOGS)
    executor = body["executors"][0]
    assert executor["stdout"] == "/wes-logs/run/stdout"
    assert executor["stderr"] == "/wes-logs/run/stderr"
    assert body["outputs"] == [
        {"path": "/wes-logs/run/stdout", "url": f"file://{LOGS}/stdout", "type": "FILE"},
        {"path": "/wes-logs/run/stderr", "url": f"file://{LOGS}/stderr", "type": "FILE"},
    ]


def test_a_stdout_that_the_engine_asked_for_stays_where_it_is_and_is_kept_too() -> None:
    task = a_task(executors=[{"image": "i", "command": ["c"], "stdout": "/out/words.txt"}])
    body: Any = with_log_files(task, LOGS)
    assert body["executors"][0]["stdout"] == "/out/words.txt"
    assert body["outputs"][0] == {"path": "/out/words.txt", "url": f"file://{LOGS}/stdout", "type": "FILE"}


def test_the_second_executor_has_files_of_its_own() -> None:
    executor = {"image": "i", "command": ["c"]}
    body: Any = with_log_files(a_task(executors=[executor, executor]), LOGS)
    urls = [output["url"] for output in body["outputs"]]
    assert urls == [f"file://{LOGS}/{name}" for name in ("stdout", "stderr", "stdout.1", "stderr.1")]


def test_a_step_that_asks_for_no_resources_gets_the_defaults_of_its_engine() -> None:
    defaults: Any = {"cpu_cores": 2, "ram_gb": 4.0}
    assert with_resources(a_task(), defaults)["resources"] == defaults
    asked = a_task(resources={"cpu_cores": 1, "zones": ["z"]})
    assert with_resources(asked, defaults)["resources"] == {"cpu_cores": 1, "ram_gb": 4.0, "zones": ["z"]}
    assert "resources" not in with_resources(a_task(), {})


def test_the_task_that_was_given_is_not_changed() -> None:
    task = a_task()
    with_log_files(task, LOGS)
    assert task == a_task()


def test_tags_name_run_owner_and_step_and_an_engine_can_not_forge_the_run() -> None:
    claimed = a_task(tags={TAG_RUN: "another", TAG_GATEWAY: "another", TAG_KEY: "k"})
    body: Any = tagged(claimed, run_id="r1", task_id="t1", owner=ANONYMOUS, gateway="g1")
    assert body["tags"][TAG_RUN] == "r1"
    assert body["tags"][TAG_GATEWAY] == "g1"
    assert body["tags"]["wes_task"] == "t1"
    assert body["tags"][TAG_OWNER] == "anonymous"
    assert body["tags"][TAG_STEP] == "align"
    assert step_key(body) == "k"
    assert step_attempt(body) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [([], "task"), ({}, "executors"), ({"executors": []}, "executors"), ({"executors": ["x"]}, "executors[0]")],
)
def test_what_is_no_task_is_refused_by_the_name_of_the_field(body: Any, field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        checked_task(body)
    assert caught.value.field == field


@pytest.mark.parametrize("field", ["inputs", "outputs", "tags"])
def test_a_field_of_the_wrong_kind_is_named(field: str) -> None:
    with pytest.raises(InvalidField, match=field):
        checked_task(a_task(**{field: "text"}))


@pytest.mark.parametrize("given", [{"queue": "long", "VmSize": 3}, {}, None])
def test_backend_parameters_are_left_out_where_they_are_not_allowed_whatever_they_look_like(given: Any) -> None:
    body: Any = {"resources": {"cpu_cores": 2, "backend_parameters": given}}
    kept, dropped = with_backend_parameters(body, frozenset())
    assert kept["resources"] == {"cpu_cores": 2}
    assert dropped == (sorted(given) if isinstance(given, dict) else [])


@pytest.mark.parametrize("given", ["queue", ["queue"]])
def test_backend_parameters_that_are_no_object_are_refused(given: Any) -> None:
    with pytest.raises(InvalidField, match=r"resources\.backend_parameters: must be an object"):
        checked_task(a_task(resources={"backend_parameters": given}))


@pytest.mark.parametrize(
    "url",
    [
        "s3://runs/far/01other/contents/x",
        "s3://runs/far",
        "s3://runs/",
        "s3://runs",
        "S3://RUNS/far/x",
        "s3://runs//far/x",
        "s3://runs/./far/x",
        "s3://runs/%66ar/x",
        "s3://runs/other/../far/x",
        "s3://runs/other/%2e%2e/far/x",
        "s3://elsewhere/../runs/far/x",
        "s3://runs/f",
        "s3://127.0.0.1:9000/runs/far/x",
        "s3://s3.example.org/runs/%66ar",
        "gs://x",
        "gs://x/01other/contents/y",
        "gs://storage.example.org/x/y",
    ],
)
@pytest.mark.parametrize("named", [an_input, an_output])
def test_no_task_names_what_other_runs_have_in_a_storage(policy: FilePolicy, named: Any, url: str) -> None:
    kept = FilePolicy(root=policy.root, storages=frozenset({"s3://runs/far", "gs://x"}))
    with pytest.raises(InvalidField, match=r"puts\[0\].url: is where this service keeps the files of runs"):
        kept.permitted(named(url, type="DIRECTORY"))


@pytest.mark.parametrize("url", ["s3://runs/farther/x", "s3://runs/other", "s3://data/far/x", "gs://runs/far/x"])
def test_what_lies_beside_a_storage_may_be_named(policy: FilePolicy, url: str) -> None:
    kept = FilePolicy(root=policy.root, storages=frozenset({"s3://runs/far"}))
    assert kept.permitted(an_input(url)) == an_input(url)
