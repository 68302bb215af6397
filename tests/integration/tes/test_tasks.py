"""Tasks that really run, in bubblewrap over this machine's own programs."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.tes.server import TesServer, log_of, system_logs, until


def test_a_task_reads_its_input_and_delivers_its_output(tes: TesServer) -> None:
    (tes.readable / "reads.txt").write_text("ACGT\n")
    task = tes.run(
        "sh",
        "-c",
        "tr A-Z a-z < /in/reads.txt > /out/lower.txt",
        inputs=[{"url": (tes.readable / "reads.txt").as_uri(), "path": "/in/reads.txt"}],
        outputs=[{"url": (tes.allow / "new/folder/lower.txt").as_uri(), "path": "/out/lower.txt"}],
    )
    assert task["state"] == "COMPLETE"
    assert (tes.allow / "new/folder/lower.txt").read_text() == "acgt\n"
    assert task["logs"][0]["outputs"] == [
        {"url": (tes.allow / "new/folder/lower.txt").as_uri(), "path": "/out/lower.txt", "size_bytes": "5"}
    ]
    assert log_of(task)["exit_code"] == 0
    assert log_of(task)["end_time"] >= log_of(task)["start_time"]


def test_the_system_log_says_how_it_ran_and_that_the_image_was_not_used(tes: TesServer) -> None:
    task = tes.run("true")
    assert "bubblewrap" in system_logs(task)
    assert "the image debian:12 was not used" in system_logs(task)
    assert task["logs"][0]["metadata"]["runner"] == "bubblewrap"
    assert task["executors"][0]["image"] == "debian:12"


def test_no_output_belongs_to_root(tes: TesServer) -> None:
    task = tes.run(
        "sh",
        "-c",
        "echo x > /out/d/x",
        outputs=[{"url": str(tes.allow / "made/d"), "path": "/out/d", "type": "DIRECTORY"}],
    )
    assert task["state"] == "COMPLETE"
    uid = 64321 if os.geteuid() == 0 else os.geteuid()
    made = [tes.allow / "made", tes.allow / "made/d", tes.allow / "made/d/x"]
    assert [path.stat().st_uid for path in made] == [uid] * 3


@pytest.mark.parametrize("name", ["a:b", "100%", "#1", "with space", "äöü-λ", 'quote"s', "a,b", "back\\slash", "?x"])
def test_any_file_name_works(tes: TesServer, name: str) -> None:
    (tes.readable / name).write_text(name)
    task = tes.run(
        "cp",
        f"/in/{name}",
        "/out/copy",
        inputs=[{"url": (tes.readable / name).as_uri(), "path": f"/in/{name}"}],
        outputs=[{"url": (tes.allow / name).as_uri(), "path": "/out/copy"}],
    )
    assert task["state"] == "COMPLETE", task
    assert (tes.allow / name).read_text() == name


def test_a_plain_absolute_path_is_taken_as_it_is(tes: TesServer) -> None:
    (tes.readable / "a%20b").write_text("x")
    task = tes.run(
        "cp",
        "/in/x",
        "/out/x",
        inputs=[{"url": str(tes.readable / "a%20b"), "path": "/in/x"}],
        outputs=[{"url": str(tes.allow / "c%20d"), "path": "/out/x"}],
    )
    assert task["state"] == "COMPLETE"
    assert (tes.allow / "c%20d").read_text() == "x"


def test_inputs_outside_writable_folders_are_read_only_and_in_place(tes: TesServer) -> None:
    source = tes.readable / "big"
    source.write_text("data")
    source.chmod(0o666)
    task = tes.run(
        "sh",
        "-c",
        "stat -c %i /in/big; echo changed > /in/big",
        inputs=[{"url": source.as_uri(), "path": "/in/big"}],
    )
    assert task["state"] == "EXECUTOR_ERROR"
    assert log_of(task)["stdout"].strip() == str(source.stat().st_ino)
    assert "Read-only" in log_of(task)["stderr"]
    assert source.read_text() == "data"


def test_inputs_in_a_writable_folder_are_copies_that_may_be_changed(tes: TesServer) -> None:
    source = tes.readable / "data"
    source.write_text("data")
    task = tes.run(
        "sh",
        "-c",
        "echo more >> data; mv data moved",
        executor={"workdir": "/work"},
        inputs=[{"url": source.as_uri(), "path": "/work/data"}],
        outputs=[{"url": str(tes.allow / "moved"), "path": "/work/moved"}],
    )
    assert task["state"] == "COMPLETE", task
    assert (tes.allow / "moved").read_text() == "datamore\n"
    assert source.read_text() == "data"


def test_an_input_in_the_tasks_own_tmp_is_in_place_as_well(tes: TesServer) -> None:
    (tes.readable / "x").write_text("x")
    (tes.readable / "x").chmod(0o666)
    inputs = [{"url": str(tes.readable / "x"), "path": "/tmp/deep/x"}, {"content": "y", "path": "/tmp/y"}]
    task = tes.run(
        "sh", "-c", "cat /tmp/deep/x y; stat -c %i /tmp/deep/x; touch new; echo >> /tmp/deep/x", inputs=inputs
    )
    assert log_of(task)["stdout"].split() == ["xy" + str((tes.readable / "x").stat().st_ino)], task
    assert "Read-only" in log_of(task)["stderr"]


def test_folders_come_and_go_with_all_that_is_in_them(tes: TesServer) -> None:
    source = tes.readable / "tree"
    (source / "empty").mkdir(parents=True)
    (source / "deep/er").mkdir(parents=True)
    (source / "deep/er/file").write_text("x")
    (source / "link").symlink_to("deep/er/file")
    task = tes.run(
        "cp",
        "-a",
        "/in/tree",
        "/out/tree",
        inputs=[{"url": source.as_uri(), "path": "/in/tree", "type": "DIRECTORY"}],
        outputs=[{"url": str(tes.allow / "tree"), "path": "/out/tree", "type": "DIRECTORY"}],
    )
    assert task["state"] == "COMPLETE", task
    copy = tes.allow / "tree/tree"
    assert (copy / "empty").is_dir()
    assert (copy / "deep/er/file").read_text() == "x"
    assert (copy / "link").readlink() == Path("deep/er/file")
    assert {one["path"] for one in task["logs"][0]["outputs"]} == {"/out/tree/tree/deep/er/file", "/out/tree/tree/link"}


def test_a_folder_is_merged_into_one_that_is_there(tes: TesServer) -> None:
    for folder in ("results", "results/sub"):
        (tes.allow / folder).mkdir()
        (tes.allow / folder).chmod(0o777)
    (tes.allow / "results/old").write_text("old")
    (tes.allow / "results/sub/both").write_text("old")
    task = tes.run(
        "sh",
        "-c",
        "mkdir /out/sub; echo new > /out/sub/both; echo new > /out/new",
        outputs=[{"url": str(tes.allow / "results"), "path": "/out", "type": "DIRECTORY"}],
    )
    assert task["state"] == "COMPLETE", task
    assert (tes.allow / "results/old").read_text() == "old"
    assert (tes.allow / "results/sub/both").read_text() == "new\n"
    assert (tes.allow / "results/new").read_text() == "new\n"


def test_an_input_may_lie_in_an_input_folder(tes: TesServer) -> None:
    (tes.readable / "reference").mkdir()
    (tes.readable / "reference/genome.fa").write_text(">chr")
    task = tes.run(
        "cat",
        "/ref/genome.fa",
        "/ref/genome.fa.fai",
        inputs=[
            {"url": (tes.readable / "reference").as_uri(), "path": "/ref", "type": "DIRECTORY"},
            {"content": "index", "path": "/ref/genome.fa.fai"},
        ],
    )
    assert log_of(task)["stdout"] == ">chrindex", task
    assert sorted(path.name for path in (tes.readable / "reference").iterdir()) == ["genome.fa"]


def test_a_symlinked_output_is_delivered_as_the_file_it_leads_to(tes: TesServer) -> None:
    (tes.readable / "in").write_text("input")
    task = tes.run(
        "sh",
        "-c",
        "echo own > /out/real; ln -s real /out/own; ln -s /in/file /out/input",
        inputs=[{"url": (tes.readable / "in").as_uri(), "path": "/in/file"}],
        outputs=[
            {"url": str(tes.allow / "own"), "path": "/out/own"},
            {"url": str(tes.allow / "input"), "path": "/out/input"},
        ],
    )
    assert task["state"] == "COMPLETE", task
    assert not (tes.allow / "own").is_symlink()
    assert (tes.allow / "own").read_text() == "own\n"
    assert (tes.allow / "input").read_text() == "input"
    assert (tes.readable / "in").read_text() == "input"


def test_a_symlink_out_of_the_task_is_a_missing_output(tes: TesServer) -> None:
    secret = tes.folder / "secret"
    secret.write_text("secret")
    task = tes.run(
        "sh",
        "-c",
        f"ln -s {secret} /out/x; mkdir /out/d; ln -s {secret} /out/d/y; ln -s /etc/passwd /out/d/z",
        outputs=[
            {"url": str(tes.allow / "d"), "path": "/out/d", "type": "DIRECTORY"},
            {"url": str(tes.allow / "x"), "path": "/out/x"},
        ],
    )
    assert task["state"] == "SYSTEM_ERROR"
    assert "/out/x is missing" in system_logs(task)
    assert "/out/d holds y, which leads nowhere" in system_logs(task)
    assert list((tes.allow / "d").iterdir()) == []
    assert not (tes.allow / "x").exists()


def test_a_missing_output_is_a_system_error_that_names_it(tes: TesServer) -> None:
    task = tes.run("true", outputs=[{"url": str(tes.allow / "x"), "path": "/out/never"}])
    assert task["state"] == "SYSTEM_ERROR"
    assert "/out/never is missing" in system_logs(task)


def test_outputs_are_delivered_after_a_failure_as_well(tes: TesServer) -> None:
    task = tes.run(
        "sh",
        "-c",
        "echo partial > /out/log; exit 7",
        outputs=[
            {"url": str(tes.allow / "log"), "path": "/out/log"},
            {"url": str(tes.allow / "x"), "path": "/out/never"},
        ],
    )
    assert task["state"] == "EXECUTOR_ERROR"
    assert log_of(task)["exit_code"] == 7
    assert (tes.allow / "log").read_text() == "partial\n"


def test_wildcards_deliver_what_matches_under_the_prefix(tes: TesServer) -> None:
    task = tes.run(
        "sh",
        "-c",
        "mkdir -p /out/a /out/b; touch /out/a/1.txt /out/b/2.txt /out/b/3.csv /out/.4.txt '/out/b/x y.txt'",
        outputs=[{"url": (tes.allow / "all").as_uri(), "path": "/out/*/*.txt", "path_prefix": "/out"}],
    )
    assert task["state"] == "COMPLETE", task
    found = sorted(str(path.relative_to(tes.allow)) for path in tes.allow.rglob("*") if path.is_file())
    assert found == ["all/a/1.txt", "all/b/2.txt", "all/b/x y.txt"]
    assert task["logs"][0]["outputs"][-1]["url"].endswith("/all/b/x%20y.txt")


def test_wildcards_that_match_nothing_are_no_error(tes: TesServer) -> None:
    output = {"url": str(tes.allow / "all"), "path": "/out/*.txt", "path_prefix": "/out"}
    assert tes.run("true", outputs=[output])["state"] == "COMPLETE"


def test_the_streams_of_an_executor_can_be_outputs(tes: TesServer) -> None:
    task = tes.run(
        "sh",
        "-c",
        "cat; echo problem >&2",
        executor={"stdin": "/in/text", "stdout": "/wes/logs/stdout", "stderr": "/stderr"},
        inputs=[{"content": "hello\n", "path": "/in/text"}],
        outputs=[
            {"url": str(tes.allow / "out"), "path": "/wes/logs/stdout"},
            {"url": str(tes.allow / "err"), "path": "/stderr"},
        ],
    )
    assert task["state"] == "COMPLETE", task
    assert (tes.allow / "out").read_text() == "hello\n"
    assert (tes.allow / "err").read_text() == "problem\n"
    assert (log_of(task)["stdout"], log_of(task)["stderr"]) == ("hello\n", "problem\n")


def test_both_streams_may_go_to_one_file(tes: TesServer) -> None:
    task = tes.run(
        "sh",
        "-c",
        "echo one; echo two >&2; echo three",
        executor={"stdout": "/out/all", "stderr": "/out/all"},
        outputs=[{"url": str(tes.allow / "all"), "path": "/out/all"}],
    )
    assert task["state"] == "COMPLETE", task
    assert (tes.allow / "all").read_text() == "one\ntwo\nthree\n"


def test_a_file_directly_in_the_root_can_be_an_output(tes: TesServer) -> None:
    outputs = [{"url": str(tes.allow / "x"), "path": "/result.txt"}]
    assert tes.run("sh", "-c", "echo x > /result.txt", outputs=outputs)["state"] == "COMPLETE"
    assert (tes.allow / "x").read_text() == "x\n"
    assert "/result.txt is missing" in system_logs(tes.run("true", outputs=outputs))


def test_executors_run_one_after_the_other_and_share_volumes(tes: TesServer) -> None:
    first = {"image": "a", "command": ["sh", "-c", "echo one > /shared/x; echo out"], "stdout": "/shared/out"}
    second = {"image": "b", "command": ["cat", "/shared/x", "-"], "stdin": "/shared/out"}
    task = tes.ended(tes.create({"executors": [first, second], "volumes": ["/shared"]}))
    assert task["state"] == "COMPLETE", task
    assert [one["stdout"] for one in task["logs"][0]["logs"]] == ["out\n", "one\nout\n"]


def test_folders_in_folders_are_all_there_at_the_start(tes: TesServer) -> None:
    outputs = [{"url": str(tes.allow / "d"), "path": "/out/d/e", "type": "DIRECTORY"}]
    task = tes.run(
        "ls", "-d", "/out/d/e", "/out/v", "/out", executor={"workdir": "/out"}, volumes=["/out/v"], outputs=outputs
    )
    assert log_of(task)["exit_code"] == 0, task
    assert (tes.allow / "d").is_dir()


def test_a_failing_executor_ends_the_task_unless_it_is_to_be_ignored(tes: TesServer) -> None:
    fails = {"image": "a", "command": ["sh", "-c", "exit 3"]}
    works = {"image": "a", "command": ["true"]}
    task = tes.ended(tes.create({"executors": [fails, works]}))
    assert task["state"] == "EXECUTOR_ERROR"
    assert [one["exit_code"] for one in task["logs"][0]["logs"]] == [3]
    task = tes.ended(tes.create({"executors": [{**fails, "ignore_error": True}, works]}))
    assert task["state"] == "COMPLETE"
    assert [one["exit_code"] for one in task["logs"][0]["logs"]] == [3, 0]


def test_environment_and_workdir_are_those_of_the_executor(tes: TesServer) -> None:
    script = 'pwd; printf "%s|" "$A" "$B"; touch here'
    executor = {"env": {"A": "two\nlines", "B": "$HOME 'x'"}, "workdir": "/some/where"}
    task = tes.run("sh", "-c", script, executor=executor)
    assert log_of(task)["stdout"] == "/some/where\ntwo\nlines|$HOME 'x'|", task
    assert tes.run("sh", "-c", "touch here")["state"] == "COMPLETE"


def test_a_missing_stdin_is_a_system_error_that_names_it(tes: TesServer) -> None:
    task = tes.run("cat", executor={"stdin": "/nowhere"})
    assert task["state"] == "SYSTEM_ERROR"
    assert "/nowhere is not there" in system_logs(task)
    assert task["logs"][0]["logs"] == []


def test_a_stdin_that_an_executor_made_a_symlink_of_stays_inside(tes: TesServer) -> None:
    first = {"image": "a", "command": ["ln", "-s", "/etc/shadow", "/shared/x"]}
    second = {"image": "a", "command": ["cat"], "stdin": "/shared/x"}
    task = tes.ended(tes.create({"executors": [first, second], "volumes": ["/shared"]}))
    assert task["state"] == "SYSTEM_ERROR"
    assert "/shared/x is not there" in system_logs(task)


def test_a_command_that_is_not_there_is_an_executor_error(tes: TesServer) -> None:
    task = tes.run("no-such-program")
    assert task["state"] == "EXECUTOR_ERROR"
    assert "no-such-program" in log_of(task)["stderr"]


def test_a_signal_is_shown_in_the_exit_code(tes: TesServer) -> None:
    assert log_of(tes.run("sh", "-c", "kill -TERM $$"))["exit_code"] == 128 + 15


def test_long_output_is_shown_by_its_head_and_its_tail(tes: TesServer) -> None:
    task = tes.run(
        "sh",
        "-c",
        "echo begin; head -c 100000 /dev/zero | tr '\\0' x; echo; echo end",
        executor={"stdout": "/out/all"},
        outputs=[{"url": str(tes.allow / "all"), "path": "/out/all"}],
    )
    shown = log_of(task)["stdout"]
    assert shown.startswith("begin\nxxx")
    assert shown.endswith("xxx\nend\n")
    assert "[... 80011 bytes left out ...]" in shown
    assert (tes.allow / "all").stat().st_size == 100_011


def test_a_running_executor_shows_its_output_and_has_no_log_yet(tes: TesServer) -> None:
    first = {"image": "a", "command": ["echo", "first"]}
    second = {"image": "a", "command": ["sh", "-c", "echo alive; echo warning >&2; sleep 60"]}
    task_id = tes.create({"executors": [first, second]})
    until(lambda: "alive" in str(tes.get(task_id)["logs"]), "the output can be read")
    task = tes.get(task_id)
    (attempt,) = task["logs"]
    assert task["state"] == "RUNNING"
    assert [(one["stdout"], one["exit_code"]) for one in attempt["logs"]] == [("first\n", 0)]
    assert (attempt["metadata"]["stdout"], attempt["metadata"]["stderr"]) == ("alive\n", "warning\n")
    assert attempt["metadata"]["executor_start_time"] > attempt["logs"][0]["start_time"]
    assert "stdout" not in tes.get(task_id, "BASIC")["logs"][0]["metadata"]
    tes.cancel(task_id)
    (attempt,) = tes.ended(task_id)["logs"]
    assert [(one["stdout"], one["exit_code"]) for one in attempt["logs"]] == [("first\n", 0), ("alive\n", 137)]
    assert attempt["metadata"] == {"runner": "bubblewrap"}


def test_a_task_has_no_network_no_other_processes_and_no_other_files(tes: TesServer) -> None:
    secret = tes.folder / "secret"
    secret.write_text("secret")
    script = (
        f"cat /proc/net/dev | grep -c : ; ls {tes.folder} {secret}; touch /usr/x /x /etc/x; ls /proc/[0-9]* -d; id -u"
    )
    log = log_of(tes.run("sh", "-c", script))
    interfaces, *processes, uid = log["stdout"].split()
    assert interfaces == "1"
    assert len(processes) <= 4
    assert uid == "1000"
    assert log["stderr"].count("Read-only") == 3
    assert log["stderr"].count("No such file") == 2


JAVA = """
public class Hello {
    public static void main(String[] given) throws Exception {
        java.security.KeyStore.getInstance("JKS");
        System.out.println(java.security.Security.getProperty("securerandom.source"));
    }
}
"""


@pytest.mark.skipif(shutil.which("javac") is None, reason="no Java Development Kit is installed here")
def test_programs_find_their_settings_in_etc(tes: TesServer) -> None:
    """A Java of Debian has its own in /etc and dies without them; so does what asks for the system's name."""
    source = [{"path": "/w/Hello.java", "content": JAVA}]
    task = tes.run(
        "sh", "-c", "javac -d /tmp /w/Hello.java && java -cp /tmp Hello; . /etc/os-release; echo $ID", inputs=source
    )
    told = log_of(task)
    assert told["stdout"].split("\n")[0].startswith("file:/dev/"), task["logs"]
    assert told["stdout"].split("\n")[1], task["logs"]


def test_secrets_and_names_in_etc_are_not_there(tes: TesServer) -> None:
    shown = log_of(tes.run("sh", "-c", "ls -a /etc /etc/ssl; cat /etc/passwd /etc/hostname"))["stdout"].split()
    assert not {"shadow", "gshadow", "ssh", "sudoers", "machine-id", "resolv.conf", "private", "docker"} & set(shown)
    assert {"passwd", "hosts", "run"} <= set(shown)
    assert not any(line.startswith("root:") for line in shown)


def test_an_input_may_lie_in_etc(tes: TesServer) -> None:
    inputs = [
        {"path": "/etc/tool.conf", "content": "new"},
        {"path": "/etc/ssl/tool.pem", "content": "beside"},
        {"path": "/etc/passwd", "content": "own"},
    ]
    task = tes.run("sh", "-c", "cat /etc/tool.conf /etc/ssl/tool.pem /etc/passwd; echo; ls /etc/ssl", inputs=inputs)
    assert log_of(task)["stdout"].startswith("newbesideown"), task["logs"]
    assert {"certs", "tool.pem"} <= set(log_of(task)["stdout"].split())


def test_nothing_of_a_task_is_left_in_the_data_folder(tes: TesServer) -> None:
    task = tes.run("sh", "-c", "mkdir -p /out/a; touch /out/a/b; chmod 0 /out/a", volumes=["/out"])
    assert task["state"] == "COMPLETE"
    until(lambda: not list((tes.data / "tasks").iterdir()), "the folder is gone")


def test_a_folder_nested_deeper_than_python_walks_is_removed(tes: TesServer) -> None:
    script = "cd /out; i=0; while [ $i -lt 1100 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done"
    assert tes.run("sh", "-c", script, volumes=["/out"])["state"] == "COMPLETE"
    until(lambda: not list((tes.data / "tasks").iterdir()), "the folder is gone")


def test_many_inputs_are_more_than_can_be_mounted(tes: TesServer) -> None:
    inputs = []
    for number in range(2100):
        (tes.readable / f"{number}").write_text("x")
        inputs.append({"url": str(tes.readable / f"{number}"), "path": f"/in/{number}"})
    task = tes.run("sh", "-c", "cat /in/* | wc -c", inputs=inputs)
    assert log_of(task)["stdout"].strip() == "2100", task


def test_a_task_that_asks_for_more_than_the_machine_has_ends_at_once(tes: TesServer) -> None:
    for field, value in (("cpu_cores", 100_000), ("ram_gb", 1e6), ("disk_gb", 1e9)):
        task = tes.run("true", resources={field: value})
        assert task["state"] == "SYSTEM_ERROR"
        assert f"resources.{field}" in system_logs(task)


def test_an_output_may_not_replace_a_folder(tes: TesServer) -> None:
    (tes.allow / "folder").mkdir()
    task = tes.run("touch", "/out/x", outputs=[{"url": str(tes.allow / "folder"), "path": "/out/x"}])
    assert task["state"] == "SYSTEM_ERROR"
    assert "would replace the folder" in system_logs(task)


def test_the_type_of_an_input_must_be_what_it_is(tes: TesServer) -> None:
    task = tes.run("true", inputs=[{"url": tes.readable.as_uri(), "path": "/in"}])
    assert task["state"] == "SYSTEM_ERROR"
    assert "is a folder, but its type is FILE" in system_logs(task)


def test_a_path_in_a_system_folder_is_refused_by_name(tes: TesServer) -> None:
    task = tes.run("true", inputs=[{"content": "x", "path": "/usr/share/x"}])
    assert task["state"] == "SYSTEM_ERROR"
    assert "/usr/share/x lies in a system folder" in system_logs(task)


def test_a_short_task_has_little_overhead(tes: TesServer) -> None:
    def seconds() -> float:
        begin = time.monotonic()
        tes.run("true")
        return time.monotonic() - begin

    assert min(seconds() for _ in range(5)) < 10


def test_a_file_and_its_folder_can_both_be_outputs(tes: TesServer) -> None:
    outputs: list[dict[str, Any]] = [
        {"url": str(tes.allow / "one"), "path": "/out/x"},
        {"url": str(tes.allow / "all"), "path": "/out", "type": "DIRECTORY"},
    ]
    assert tes.run("sh", "-c", "echo x > /out/x", outputs=outputs)["state"] == "COMPLETE"
    assert (tes.allow / "one").read_text() == (tes.allow / "all/x").read_text() == "x\n"
