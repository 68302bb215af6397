"""Nothing that a hostile workflow tries, as an engine or as a step, reaches another run or the machine."""

import json
import subprocess
from pathlib import Path

import pytest

from sandbox.identity import foreign_identity
from tests.acceptance.attacks.conftest import Siege
from tests.acceptance.attacks.hostile import PROGRAMS, attacks
from tests.acceptance.attacks.targets import state_of, texts_beneath
from tests.acceptance.stack import embedded_only
from tests.engine_fixtures import SANDBOX_UID
from tests.http_client import http

pytestmark = [embedded_only, pytest.mark.timeout(900)]


def test_none_learns_a_secret(siege: Siege) -> None:
    for name, (run_id, _) in siege.attackers.items():
        shown = json.dumps([siege.ended[name], siege.fort.tasks(run_id)])
        found = [secret for secret in siege.targets.secrets if secret in shown]
        own = (siege.fort.folder(run_id) / "control" / "tes-token").read_text().strip()
        for path, text in texts_beneath(siege.fort.folder(run_id)):
            found += [f"{path}: {secret}" for secret in siege.targets.secrets - {own} if secret in text]
        assert found == [], name


def test_no_probe_came_through_anywhere(siege: Siege) -> None:
    for name in siege.attackers.keys() - {"cwl_input", "cwl_links", "wdl_read"}:
        came_through_nowhere(siege, name)


def came_through_nowhere(siege: Siege, name: str) -> None:
    run_id, submission = siege.attackers[name]
    texts = [text for path, text in texts_beneath(siege.fort.folder(run_id)) if path.parts[-2:-1] != ("attachments",)]
    leaks = {line for text in texts for line in text.splitlines() if line.startswith("LEAKED")}
    assert leaks == set(), (name, siege.ended[name]["run_log"]["system_logs"])
    ended = sum("\ntried " in f"\n{text}" and "LEAKED $" not in text for text in texts)
    assert ended >= submission.probed, siege.ended[name]["run_log"]["system_logs"]


def test_each_ends_with_a_sentence(siege: Siege) -> None:
    assert siege.attackers.keys() == attacks(siege.fort.runner).keys()
    for name in siege.attackers:
        log = siege.ended[name]
        assert log["state"] in {"COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR"}, name
        assert len(log["run_log"]["system_logs"][0].split()) > 3, name
        assert "service failed" not in log["run_log"]["system_logs"][0], name


def test_the_run_beside_them_completes_unharmed(siege: Siege) -> None:
    log = siege.ended["victim"]
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert http.get(log["outputs"]["said"]["location"]).text == f"{siege.secret}\n" * 2


def test_nothing_was_written_where_they_may_not(siege: Siege) -> None:
    fort = siege.fort
    for name in ("attachments", "control"):
        assert state_of(fort.folder(siege.victim) / name) == siege.before[name]
    assert state_of(fort.home) == siege.before["home"]
    own = [fort.folder(run_id) for run_id, _ in siege.attackers.values()]
    others = [path for path, _ in texts_beneath(fort.wes.data) if not any(path.is_relative_to(one) for one in own)]
    assert [path for path in others if "pwned" in path.name] == []
    assert [path for path, text in texts_beneath(fort.folder(siege.victim)) if "pwned" in text] == []


def test_the_gateway_refuses_every_spelling_and_its_tasks_fail(siege: Siege) -> None:
    run_id, _ = siege.attackers["snakemake_gateway"]
    document = siege.fort.folder(run_id) / "work" / "gateway.json"
    assert document.exists(), siege.ended["snakemake_gateway"]["run_log"]["system_logs"]
    result = json.loads(document.read_text())
    strict = {one["name"]: one for one in result["strict"]}
    assert strict.pop("control")["state"] == "COMPLETE", "a task that may be is what shows that the others may not"
    assert len(strict) > 100
    failed = {"SYSTEM_ERROR", "EXECUTOR_ERROR"}
    assert [one for one in strict.values() if one["status"] not in {200, 400}] == []
    assert [one for one in strict.values() if one["status"] == 200 and one["state"] not in failed] == []
    assert {one["state"] for one in result["loose"] if one["id"]} <= {"COMPLETE", "SYSTEM_ERROR", "EXECUTOR_ERROR"}
    assert result["runs"] == [run_id]
    assert {status for _, status in result["foreign"]} == {404}


def test_the_probe_tells_what_it_reaches(open_tmp: Path) -> None:
    """Without walls it says so: what finds nothing above can find something."""
    (open_tmp / "secret").write_text("told\n")
    (open_tmp / "work").mkdir()
    environment = {
        "READ": f"{open_tmp}/secret\n{open_tmp}/no",
        "WRITE": str(open_tmp / "work"),
        "PATH": "/usr/bin:/bin",
        "RUNNER": "docker",
    }
    identity = foreign_identity(SANDBOX_UID)
    identity.own(open_tmp / "work")
    argv = [*identity.argv(), "sh", str(PROGRAMS / "probe.sh")]
    ran = subprocess.run(argv, env=environment, cwd=open_tmp / "work", capture_output=True, text=True, check=True)
    said = ran.stdout
    assert f"LEAKED read {open_tmp}/secret" in said
    assert f"LEAKED wrote {open_tmp}/work/pwned" in said
    assert f"LEAKED read {open_tmp}/no" not in said
