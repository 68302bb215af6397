"""What WDL workflows use, each by miniwdl with our executor straight on a TES."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from common.location import file_path_of
from tests.engine_fixtures import EngineRun, EngineRuns, Tes

ECHO = """
task echo {
  input { String word = "nobody" }
  command <<< echo "~{word}" >>>
  output { String said = read_string(stdout())  File file = stdout() }
}
"""


def text(file: Any) -> str:
    """The content of an output file."""
    assert file["class"] == "File"
    path = file_path_of(file["location"])
    assert path is not None
    assert path == path.resolve(), "a link"
    return path.read_text()


def tasks_of(run: EngineRun, tes: Tes) -> list[dict[str, Any]]:
    """The tasks of a run, in the order in which they were sent."""
    mine = [task for task in tes.tasks() if str(run.folder.root) in str(task["outputs"])]
    return sorted(mine, key=lambda task: str(task["creation_time"]))


def names_of(run: EngineRun, tes: Tes) -> list[str]:
    return sorted(task["name"] for task in tasks_of(run, tes))


def outputs(runs: EngineRuns, document: str, params: dict[str, Any] | None = None, **files: str) -> dict[str, Any]:
    return runs.new({"main.wdl": document, **files}, params).start().outputs()


def test_draft_2(wdl_runs: EngineRuns) -> None:
    document = """
task count {
  File f
  String suffix = ".txt"
  command { wc -c < ${f} > n${suffix} }
  output { Int n = read_int("n" + suffix)  File o = "n${suffix}" }
  runtime { docker: "ubuntu:22.04" }
}
workflow w {
  Array[File] files
  scatter (f in files) { call count { input: f = f } }
  output { Array[Int] sizes = count.n  File first = count.o[0] }
}
"""
    run = wdl_runs.new({"main.wdl": document, "a.txt": "12", "b.txt": "345"}, {"w.files": ["a.txt", "b.txt"]})
    found = run.start().outputs()
    assert found["w.sizes"] == [2, 3]
    assert text(found["w.first"]).strip() == "2"


def test_draft_2_without_an_output_section_gives_the_outputs_of_its_calls(wdl_runs: EngineRuns) -> None:
    document = "task t { command { echo hi } output { String s = read_string(stdout()) } }\nworkflow w { call t }\n"
    assert outputs(wdl_runs, document) == {"w.t.s": "hi"}


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_each_version_with_structs_pairs_maps_and_arrays(wdl_runs: EngineRuns, version: str) -> None:
    document = f"""
version {version}
struct Sample {{ String name  File reads  Array[Int] lanes }}
workflow w {{
  input {{ Sample sample  Map[String, File] extra  Pair[Int, File] pair  Array[Array[String]] grid  Float? none }}
  call size {{ input: files = [sample.reads, extra["k"], pair.right] }}
  output {{
    Array[Int] sizes = size.sizes
    Sample again = sample
    Map[String, Int] map = {{"a": size.sizes[0]}}
    Pair[String, File] p = (sample.name, size.list)
    Array[String] flat = flatten(grid)
    Float? nothing = none
    Boolean given = defined(none)
  }}
}}
task size {{
  input {{ Array[File] files }}
  command <<<
    for f in ~{{sep=" " files}}; do wc -c < $f; done | tr -d ' ' > list.txt
    echo "[$(paste -sd, list.txt)]" > sizes.json
  >>>
  output {{ Array[Int] sizes = read_json("sizes.json")  File list = "list.txt" }}
}}
"""
    params = {
        "w.sample": {"name": "s1", "reads": "r/s1.fq", "lanes": [1, 2]},
        "w.extra": {"k": "x.txt"},
        "w.pair": {"left": 1, "right": "r/y.txt"},
        "w.grid": [["a"], ["b", "c"]],
    }
    files = {"r/s1.fq": "1", "x.txt": "22", "r/y.txt": "333"}
    found = wdl_runs.new({"main.wdl": document, **files}, params).start().outputs()
    assert found["w.sizes"] == [1, 2, 3]
    assert (found["w.again"]["name"], found["w.again"]["lanes"]) == ("s1", [1, 2])
    assert text(found["w.again"]["reads"]) == "1"
    assert found["w.map"] == {"a": 1}
    assert found["w.p"]["left"] == "s1"
    assert text(found["w.p"]["right"]) == "1\n2\n3\n"
    assert found["w.flat"] == ["a", "b", "c"]
    assert (found["w.nothing"], found["w.given"]) == (None, False)
    assert list(found) == ["w.sizes", "w.again", "w.map", "w.p", "w.flat", "w.nothing", "w.given"]


def test_steps_have_the_names_that_the_author_gave(wdl_runs: EngineRuns, tes: Tes) -> None:
    document = f"""
version 1.1
import "lib/sub.wdl" as lib
workflow w {{
  call echo {{ input: word = "one" }}
  call echo as twice {{ input: word = echo.said }}
  scatter (i in range(2)) {{
    call echo as each {{ input: word = "~{{i}}" }}
    scatter (j in range(2)) {{ call echo as deep {{ input: word = "~{{i}}~{{j}}" }} }}
    call lib.sub {{ input: word = "s~{{i}}" }}
  }}
  output {{ Array[Array[String]] grid = deep.said  Array[String] subs = sub.said  String t = twice.said }}
}}
{ECHO}
"""
    sub = """
version 1.1
import "deeper/more.wdl"
workflow sub {
  input { String word }
  call more.shout { input: word = word }
  output { String said = shout.said }
}
"""
    more = """
version 1.0
task shout {
  input { String word }
  command <<< echo "~{word}!" >>>
  output { String said = read_string(stdout()) }
}
"""
    run = wdl_runs.new({"main.wdl": document, "lib/sub.wdl": sub, "lib/deeper/more.wdl": more})
    found = run.start().outputs()
    assert found == {"w.grid": [["00", "01"], ["10", "11"]], "w.subs": ["s0!", "s1!"], "w.t": "one"}
    assert names_of(run, tes) == sorted(
        ["echo", "twice", "each", "each_2", "deep", "deep_1_2", "deep_2_1", "deep_2_2", "sub.shout", "sub_2.shout"]
    )


def test_conditionals_run_only_what_they_should(wdl_runs: EngineRuns, tes: Tes) -> None:
    document = f"""
version 1.1
workflow w {{
  input {{ Boolean wanted }}
  if (wanted) {{ call echo as yes {{ input: word = "yes" }} }}
  if (!wanted) {{ call echo as no {{ input: word = "no" }} }}
  output {{ String? y = yes.said  String? n = no.said  String said = select_first([yes.said, no.said]) }}
}}
{ECHO}
"""
    run = wdl_runs.new({"main.wdl": document}, {"w.wanted": False})
    assert run.start().outputs() == {"w.y": None, "w.n": "no", "w.said": "no"}
    assert names_of(run, tes) == ["no"]


def test_a_runtime_section_becomes_tes_resources_and_image(wdl_runs: EngineRuns, tes: Tes) -> None:
    document = """
version 1.1
workflow w { call t  call plain  call any }
task t {
  command <<< echo 1 > /mnt/x/scratch && cat /mnt/x/scratch >>>
  runtime {
    container: "ubuntu:22.04"  cpu: 2  memory: "1 GiB"  disks: ["local-disk 10 SSD", "/mnt/x 1 GB"]
    preemptible: 1  zones: "a-1 b-2"  gpu: true  gpuCount: 2
  }
}
task plain { command <<< true >>> }
task any { command <<< true >>>  runtime { container: "*" } }
"""
    run = wdl_runs.new({"main.wdl": document})
    run.start().outputs()
    tasks = {task["name"]: task for task in tasks_of(run, tes)}
    assert tasks["t"]["resources"] == {
        "cpu_cores": 2,
        "ram_gb": 1.073742,
        "disk_gb": 11.737418,
        "preemptible": True,
        "zones": ["a-1", "b-2"],
        # One of them is not known to this TES.
        "backend_parameters": {},
    }
    assert tasks["t"]["volumes"] == ["/mnt/x"]
    images = {name: task["executors"][0]["image"] for name, task in tasks.items()}
    default = "docker.io/library/python:3-slim"
    assert images == {"t": "ubuntu:22.04", "plain": default, "any": default}
    assert "resources" not in tasks["plain"]


def test_what_cromwell_is_told_beside_the_workflow_has_the_same_effect(wdl_runs: EngineRuns, tes: Tes) -> None:
    document = """
version 1.1
workflow w {
  input { Int n  String s  Boolean b  Map[String, Float] m  Pair[String, Array[Int]] p }
  call t
  output { Array[Int] i = [n, p.right[0]]  String text = s + p.left  Boolean yes = b  Float f = m["k"]
           String got = t.got }
}
task t {
  command <<< echo three; exit 3 >>>
  output { String got = read_string(stdout()) }
  runtime { memory: "1 GB" }
}
"""
    options = """{"default_runtime_attributes": {"continueOnReturnCode": [0, 3], "cpu": 4, "docker": "ubuntu:22.04"},
                  "workflow_failure_mode": "NoNewCalls", "jes_gcs_root": "gs://nowhere"}"""
    params = {
        "w.n": "5",
        "w.s": 7,
        "w.b": "True",
        "w.m": {"k": "1.5"},
        "w.p": {"left": 1.5, "right": ["2"]},
        "w.t.runtime.memory": "2 GB",
    }
    parameters = {"coerce": "true", "runtime_defaults": '{"cpu": 2, "memory": "3 GB"}', "options": "options.json"}
    run = wdl_runs.new({"main.wdl": document, "options.json": options}, params, parameters=parameters)
    found = run.start().outputs()
    assert found == {"w.i": [5, 2], "w.text": "71.5", "w.yes": True, "w.f": 1.5, "w.got": "three"}
    (task,) = tasks_of(run, tes)
    assert task["resources"] == {"cpu_cores": 2, "ram_gb": 2.0}
    assert task["executors"][0]["image"] == "ubuntu:22.04"
    assert run.end is not None
    assert "options.json: 'jes_gcs_root' has no effect here" in run.end.stderr


def test_attempts_of_a_retried_task_are_tasks_that_say_so(wdl_runs: EngineRuns, tes: Tes, open_tmp: Path) -> None:
    document = """
version 1.1
task flaky {
  command <<< echo tried; exit 3 >>>
  runtime { maxRetries: 2 }
}
workflow w { call flaky }
"""
    run = wdl_runs.new({"main.wdl": document})
    assert "the step 'flaky'" in run.start().reason()
    tasks = tasks_of(run, tes)
    assert [task["name"] for task in tasks] == ["flaky"] * 3
    assert [task["tags"]["wes.attempt"] for task in tasks] == ["1", "2", "3"]
    assert len({task["tags"]["wes.step_key"] for task in tasks}) == 3
    progress = (run.folder.work / ".wes" / "progress.json").read_text()
    assert progress == '{"known": 1, "running": 0, "done": 0, "failed": 1, "cached": 0}'


def test_max_retries_is_the_default_of_tasks_that_say_nothing(wdl_runs: EngineRuns, tes: Tes) -> None:
    document = "version 1.1\nworkflow w { call t }\ntask t { command <<< exit 3 >>> }"
    run = wdl_runs.new({"main.wdl": document}, parameters={"max_retries": "1"})
    run.start().reason()
    assert len(tasks_of(run, tes)) == 2


def test_return_codes_say_what_success_is_in_the_standards_words_and_in_cromwells(wdl_runs: EngineRuns) -> None:
    settings = {
        "listed": "returnCodes: [0, 3]",
        "any": 'returnCodes: "*"',
        "one": "continueOnReturnCode: 3",
        "several": "continueOnReturnCode: [1, 3]",
        "every": "continueOnReturnCode: true",
        "both": "returnCodes: 3  continueOnReturnCode: 4",
    }
    task = """
task NAME {
  command <<< echo three; exit 3 >>>
  output { String s = read_string(stdout()) }
  runtime { SETTING }
}
"""
    tasks = "".join(task.replace("NAME", name).replace("SETTING", text) for name, text in settings.items())
    calls = " ".join(f"call {name}" for name in settings)
    said = ", ".join(f"{name}.s" for name in settings)
    document = f"version 1.1\nworkflow w {{ {calls} output {{ Array[String] s = [{said}] }} }}\n{tasks}"
    assert outputs(wdl_runs, document) == {"w.s": ["three"] * len(settings)}
    strict = task.replace("NAME", "strict").replace("SETTING", "continueOnReturnCode: false")
    assert "exit code 3" in wdl_runs.new({"main.wdl": f"version 1.1\n{strict}"}).start().reason()


def test_files_of_one_task_lie_beside_each_other_in_the_next(wdl_runs: EngineRuns) -> None:
    document = """
version 1.1
workflow w {
  scatter (n in ["a", "b"]) { call make { input: n = n } }
  call use { input: files = make.file, indexes = make.index }
  output { Array[String] read = use.read }
}
task make {
  input { String n }
  command <<< echo ~{n} > x.bam; echo index of ~{n} > x.bam.bai >>>
  output { File file = "x.bam"  File index = "x.bam.bai" }
}
task use {
  input { Array[File] files  Array[File] indexes }
  command <<< for f in ~{sep(" ", files)}; do cat $f.bai; done >>>
  output { Array[String] read = read_lines(stdout()) }
}
"""
    assert outputs(wdl_runs, document) == {"w.read": ["index of a", "index of b"]}


def test_directories_in_and_out(wdl_runs: EngineRuns) -> None:
    document = """
version 1.2
workflow w {
  input { Directory d }
  call copy { input: d = d }
  call copy as again { input: d = copy.out }
  output { Directory made = again.out  Array[String] names = again.names }
}
task copy {
  input { Directory d }
  command <<< mkdir out; cp -R ~{d}/. out/; find out -type f | sort >>>
  output { Directory out = "out"  Array[String] names = read_lines(stdout()) }
}
"""
    files = {"main.wdl": document, "data/one.txt": "1", "data/sub dir/two.txt": "2"}
    found = wdl_runs.new(files, {"w.d": "data"}).start().outputs()
    assert found["w.names"] == ["out/one.txt", "out/sub dir/two.txt"]
    made = found["w.made"]
    assert (made["class"], made["basename"]) == ("Directory", "out")
    folder = file_path_of(made["location"])
    assert folder is not None
    assert (folder / "sub dir" / "two.txt").read_text() == "2"


def test_files_beside_a_document_are_found_by_version_1_2(wdl_runs: EngineRuns) -> None:
    document = """
version 1.2
workflow w {
  call t
  output { String s = t.s }
}
task t {
  input { File script = "scripts/hi.sh" }
  command <<< sh ~{script} >>>
  output { String s = read_string(stdout()) }
}
"""
    found = wdl_runs.new({"main.wdl": document, "scripts/hi.sh": "echo from a script\n"}).start().outputs()
    assert found == {"w.s": "from a script"}


def test_the_standard_library_reads_and_writes_files(wdl_runs: EngineRuns) -> None:
    document = """
version 1.1
workflow w {
  input { Array[String] words = ["a b", "c"] }
  File list = write_lines(words)
  call t { input: list = list, more = {"k": "v"} }
  output { Array[String] lines = t.lines  Int n = length(read_lines(list))  Array[File] globbed = t.globbed
           File? none = t.none  Map[String, String] map = t.map }
}
task t {
  input { File list  Map[String, String] more }
  File inner = write_json(more)
  command <<<
    cat ~{list} ~{write_lines(["d"])}
    cp ~{write_map(more)} map.tsv
    mkdir parts; touch parts/1.txt parts/2.txt; test -s ~{inner}
  >>>
  output { Array[String] lines = read_lines(stdout())  Array[File] globbed = glob("parts/*.txt")
           File? none = "none.txt"  Map[String, String] map = read_map("map.tsv") }
}
"""
    found = outputs(wdl_runs, document)
    assert (found["w.lines"], found["w.n"], found["w.none"]) == (["a b", "c", "d"], 2, None)
    assert found["w.map"] == {"k": "v"}
    assert [file["basename"] for file in found["w.globbed"]] == ["1.txt", "2.txt"]


def test_a_command_of_any_length_and_any_quote_is_run(wdl_runs: EngineRuns) -> None:
    long = "\n".join(f"    echo 'line {n} \"$HOME\" \\ äé'" for n in range(5000))
    document = f"""
version 1.1
workflow w {{ call t  output {{ Int n = length(t.lines)  String one = t.lines[1] }} }}
task t {{
  command <<<
{long}
  >>>
  output {{ Array[String] lines = read_lines(stdout()) }}
}}
"""
    assert outputs(wdl_runs, document) == {"w.n": 5000, "w.one": 'line 1 "$HOME" \\ äé'}


def test_a_task_without_a_command_is_no_tes_task(wdl_runs: EngineRuns, tes: Tes) -> None:
    document = """
version 1.1
workflow w { call t { input: n = 2 }  output { Int m = t.m } }
task t { input { Int n }  command <<< >>>  output { Int m = n * 2 } }
"""
    run = wdl_runs.new({"main.wdl": document})
    assert run.start().outputs() == {"w.m": 4}
    assert names_of(run, tes) == []
    assert run.end is not None
    assert "runs inside the engine" in run.end.stderr


def test_a_task_by_itself_and_one_of_several(wdl_runs: EngineRuns, tes: Tes) -> None:
    run = wdl_runs.new({"main.wdl": "version 1.0" + ECHO}, {"word": "alone"})
    assert run.start().outputs()["echo.said"] == "alone"
    assert names_of(run, tes) == ["echo"]
    document = "version 1.0" + ECHO + ECHO.replace("echo {", "other {")
    other = wdl_runs.new({"main.wdl": document}, {"other.word": "b"}, fragment="other")
    assert other.start().outputs()["other.said"] == "b"
    assert names_of(other, tes) == ["other"]


def test_an_input_that_is_given_out_is_copied_into_the_run(wdl_runs: EngineRuns) -> None:
    document = "version 1.1\nworkflow w { input { File f }  output { Array[File] same = [f, f] } }"
    run = wdl_runs.new({"main.wdl": document, "in/a.txt": "as it was"}, {"w.f": "in/a.txt"})
    first, second = run.start().outputs()["w.same"]
    assert first == second
    assert text(first) == "as it was"
    path = file_path_of(first["location"])
    assert path is not None
    assert path.is_relative_to(run.folder.work)


def test_file_objects_as_inputs_are_taken_too(wdl_runs: EngineRuns) -> None:
    document = "version 1.1\nworkflow w { input { File f }  output { String s = read_string(f) } }"
    run = wdl_runs.new({"main.wdl": document, "a b.txt": "hi"}, {"w.f": {"class": "File", "path": "a b.txt"}})
    assert run.start().outputs() == {"w.s": "hi"}


def test_strings_that_look_like_files_stay_strings(wdl_runs: EngineRuns) -> None:
    document = "version 1.1\nworkflow w { input { String s }  output { String t = s } }"
    run = wdl_runs.new({"main.wdl": document, "a.txt": "hi"}, {"w.s": "a.txt"})
    assert run.start().outputs() == {"w.t": "a.txt"}


def test_env_declarations_reach_the_task(wdl_runs: EngineRuns) -> None:
    document = """
version 1.2
workflow w { call t  output { String s = t.s } }
task t {
  input { env String greeting = "it's $HOME" }
  command <<< echo "$greeting" >>>
  output { String s = read_string(stdout()) }
}
"""
    assert outputs(wdl_runs, document) == {"w.s": "it's $HOME"}


def test_a_failure_stops_the_other_tasks_and_finish_lets_them_end(wdl_runs: EngineRuns, tes: Tes) -> None:
    document = """
version 1.1
workflow w { call bad  call slow  call never { input: x = slow.s } }
task bad { command <<< sleep 0.5; exit 4 >>> }
task slow { command <<< sleep SECONDS; echo done >>>  output { String s = read_string(stdout()) } }
task never { input { String x }  command <<< true >>> }
"""
    run = wdl_runs.new({"main.wdl": document.replace("SECONDS", "600")})
    assert run.start().reason().startswith("the step 'bad' (task ")
    assert {task["name"]: task["state"] for task in tasks_of(run, tes)} == {"bad": "EXECUTOR_ERROR", "slow": "CANCELED"}
    run = wdl_runs.new({"main.wdl": document.replace("SECONDS", "1")}, parameters={"on_error": "finish"})
    assert "exit code 4" in run.start().reason()
    assert {task["name"]: task["state"] for task in tasks_of(run, tes)} == {"bad": "EXECUTOR_ERROR", "slow": "COMPLETE"}


def test_quantifiers_are_checked_unless_told_otherwise(wdl_runs: EngineRuns) -> None:
    document = """
version 1.0
workflow w {
  if (true) { call need as first { input: word = "somebody" } }
  call need { input: word = first.said }
  output { String s = need.said }
}
""" + ECHO.replace("echo {", "need {").replace(' = "nobody"', "")
    assert "main.wdl:5:" in wdl_runs.new({"main.wdl": document}).start().reason()
    run = wdl_runs.new({"main.wdl": document}, parameters={"check_quant": "false"})
    assert run.start().outputs() == {"w.s": "somebody"}


def test_as_many_tasks_run_at_once_as_asked_for(wdl_runs: EngineRuns, tes: Tes) -> None:
    document = """
version 1.1
workflow w { scatter (i in range(3)) { call t } }
task t { command <<< sleep 0.2 >>> }
"""
    run = wdl_runs.new({"main.wdl": document}, parameters={"parallel": "1"})
    run.start().outputs()
    spans = [(task["logs"][0]["start_time"], task["logs"][0]["end_time"]) for task in tasks_of(run, tes)]
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
