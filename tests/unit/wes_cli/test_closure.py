"""What is uploaded of workflows as people write them, in languages whose documents name files in quotes."""

from pathlib import Path

import pytest

from common.json_types import Json
from tests.unit.wes_cli.test_bundle import bundle, tool, write
from wes_cli.errors import InvalidArgument

LONG = "Some help text. " * 24


@pytest.mark.parametrize("name", ["main.nf", "Snakefile", "wf.wdl"])
@pytest.mark.parametrize("text", [LONG, "a" * 300, "..", "../../../../../../../../..", "a/\x07b", "."])
def test_words_that_are_no_paths_are_passed_over(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path, {f"{name}": f"x = '{text}'"})
    assert set(bundle(tmp_path, workflow=tmp_path / name).attachments) == {name}


def test_texts_of_params_that_are_no_paths_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, {"main.nf": ""})
    params = {"help": LONG * 20, "a": "b" * 300, "nul": "a\0b", "empty": ""}
    found = bundle(tmp_path, dict(params), workflow=tmp_path / "main.nf")
    assert (set(found.attachments), found.params) == ({"main.nf"}, params)


def test_the_layout_that_snakemake_advises_keeps_config_beside_workflow(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "workflow/Snakefile": "configfile: 'config/config.yaml'\ninclude: 'rules/a.smk'\n",
            "workflow/rules/a.smk": "rule a:\n  input: 'data/x.txt'\n  conda: '../envs/a.yaml'\n",
            "workflow/envs/a.yaml": "",
            "config/config.yaml": "samples: config/samples.tsv\nreference: resources/ref.fa\nn: 3\n",
            "config/samples.tsv": "sample\tfq\nA\tdata/A.fq\nB\tdata/B.fq\n",
            "config/other.txt": "",
            "workflow/profiles/default/config.yaml": "jobs: 3\n",
            "data/x.txt": "",
            "data/A.fq": "",
            "data/B.fq": "",
            "data/not-named.fq": "",
            "resources/ref.fa": "",
        },
    )
    for main in (tmp_path, tmp_path / "workflow/Snakefile"):
        found = bundle(tmp_path, workflow=main)
        assert found.workflow_url == "workflow/Snakefile"
        assert {name: tmp_path / name for name in found.attachments} == dict(found.attachments)
        assert set(found.attachments) == {
            *("workflow/Snakefile", "workflow/rules/a.smk", "workflow/envs/a.yaml"),
            *("config/config.yaml", "config/samples.tsv", "config/other.txt"),
            "workflow/profiles/default/config.yaml",
            *("data/x.txt", "data/A.fq", "data/B.fq", "resources/ref.fa"),
        }
        assert found.warnings == ()


def test_the_inputs_of_rules_come_and_what_rules_have_made_before_does_not(tmp_path: Path) -> None:
    rule = """
rule all:
    input: "results/A.txt", expand("results/{s}.txt", s=["A"])
rule one:
    input: "data/{sample}.fastq"
    output: "results/{sample}.txt"
    log: "logs/{sample}.log"
    shell: "sort {input} > {output}"
"""
    there = ("data/A.fastq", "data/B.fastq", "results/A.txt", "logs/A.log", "data/notes.md")
    write(tmp_path, {"Snakefile": rule, **dict.fromkeys(there, "")})
    found = bundle(tmp_path, workflow=tmp_path / "Snakefile")
    assert set(found.attachments) == {"Snakefile", "data/A.fastq", "data/B.fastq"}
    assert found.warnings == (
        "results/A.txt and 1 more not uploaded, as a rule makes it: --attach it to start from it",
    )
    attached = bundle(tmp_path, workflow=tmp_path / "Snakefile", attach=[tmp_path / "results/A.txt"])
    assert "results/A.txt" in attached.attachments


def test_globs_in_a_nextflow_script_and_its_config_bring_the_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "main.nf": """params.reads = 'data/*.fastq'; process A { output: path '*.bam' }
x = channel.fromFilePairs("${projectDir}/pairs/*_{1,2}.fq")
y = channel.fromFilePairs("$baseDir/one/sample_{R1,R2,R3}.fq")""",
            "nextflow.config": "params.more = 'more/**.txt'",
            **dict.fromkeys(("data/A.fastq", "data/B.fastq", "data/c.txt", "old.bam"), ""),
            **dict.fromkeys(("pairs/a_1.fq", "pairs/a_2.fq", "pairs/a_3.fq", "more/x/y.txt"), ""),
            **dict.fromkeys(("one/sample_R1.fq", "one/sample_R2.fq", "one/sample_S1.fq"), ""),
        },
    )
    assert set(bundle(tmp_path, workflow=tmp_path).attachments) == {
        *("main.nf", "nextflow.config", "data/A.fastq", "data/B.fastq"),
        *("pairs/a_1.fq", "pairs/a_2.fq", "more/x/y.txt", "one/sample_R1.fq", "one/sample_R2.fq"),
    }


def test_modules_that_a_script_imports_from_beside_it_come_too(tmp_path: Path) -> None:
    script = "import os, common\nfrom plots.bars import draw\nimport numpy as np\nopen('old.txt')\n"
    kept = {"scripts/plot.py": script, "scripts/common.py": "import more", "scripts/more.py": ""}
    kept |= dict.fromkeys(("scripts/plots/__init__.py", "scripts/plots/bars.py"), "")
    rule = "rule a:\n  output: 'a.txt'\n  script: 'scripts/plot.py'\n"
    write(tmp_path, {"Snakefile": rule, **kept, "old.txt": "", "scripts/numpy.txt": "", "scripts/other.py": ""})
    assert set(bundle(tmp_path, workflow=tmp_path / "Snakefile").attachments) == {"Snakefile", *kept}


def test_what_a_nextflow_script_names_beside_itself_may_be_a_folder_or_the_beginning_of_names(tmp_path: Path) -> None:
    script = """params.multiqc = "${projectDir}/multiqc"
    params.db = "$baseDir/blast-db/pdb/tiny"
    params.outdir = "$projectDir/results"
    params.all = "$projectDir/."
    params.other = "multiqc"
    new File("${workflow.projectDir}/assets/mail.txt")"""
    kept = ("multiqc/config.yaml", "multiqc/img/logo.png", "blast-db/pdb/tiny.phr", "blast-db/pdb/tiny.pin")
    files = ("blast-db/pdb/tinyother", "results/old.txt", "multiqc.txt", "secret.txt")
    write(tmp_path, {"main.nf": script, **dict.fromkeys((*kept, *files, "assets/mail.txt"), "")})
    found = bundle(tmp_path, workflow=tmp_path / "main.nf")
    assert set(found.attachments) == {"main.nf", "assets/mail.txt", *kept}


def test_a_folder_beside_the_script_that_leads_out_of_it_is_outside(tmp_path: Path) -> None:
    write(tmp_path, {"flow/main.nf": "x = file('$projectDir/assets')", "keys/id": ""})
    (tmp_path / "flow/assets").symlink_to(tmp_path / "keys")
    with pytest.raises(InvalidArgument, match="outside of its folder"):
        bundle(tmp_path, workflow=tmp_path / "flow/main.nf")


def test_an_include_of_a_folder_means_its_main_script(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "main.nf": "include { X } from './index'\ninclude { Y } from './modules/y'",
            "index/main.nf": "include { Z } from '../modules/z'; template 't.sh'; file(\"$projectDir/assets/a.txt\")",
            "index/templates/t.sh": "",
            **dict.fromkeys(("modules/y.nf", "modules/z.nf", "assets/a.txt"), ""),
        },
    )
    assert set(bundle(tmp_path, workflow=tmp_path).attachments) == {
        *("main.nf", "index/main.nf", "index/templates/t.sh", "modules/y.nf", "modules/z.nf", "assets/a.txt"),
    }


def test_an_attached_folder_that_holds_the_workflow_is_where_names_begin(tmp_path: Path) -> None:
    kept = ("workflow/main.nf", "data/a.txt", "work.txt")
    left_out = (".git/config", ".nextflow/history", ".nextflow.log", ".nextflow.log.1", "work/ab/x", ".snakemake/y")
    write(tmp_path, dict.fromkeys((*kept, *left_out), ""))
    found = bundle(tmp_path, workflow=tmp_path / "workflow/main.nf", attach=[tmp_path])
    assert (found.workflow_url, set(found.attachments)) == ("workflow/main.nf", set(kept))


def test_what_git_leaves_out_of_an_attached_folder_stays_here_and_is_told(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            ".git/info/exclude": "*.secret\n",
            ".gitignore": "results/\n*.log\n!keep.log\n/data/*\n",
            "flow/.gitignore": "venv/\n",
            "flow/main.nf": "params.reads = 'data/a.fq'",
            **dict.fromkeys(("flow/venv/x.py", "flow/results/old.txt", "flow/run.log", "flow/keep.log"), ""),
            **dict.fromkeys(("flow/a.secret", "flow/data/a.fq", "data/b.fq", "flow/assets/x.txt"), ""),
        },
    )
    found = bundle(tmp_path, workflow=tmp_path / "flow/main.nf", attach=[tmp_path / "flow"])
    assert set(found.attachments) == {".gitignore", "main.nf", "keep.log", "data/a.fq", "assets/x.txt"}
    (told,) = found.warnings
    assert "as .gitignore leaves it out: " in told
    for name in ("flow/results", "flow/venv", "flow/a.secret"):
        assert str(tmp_path / name) in told or " and 1 more" in told
    found = bundle(tmp_path, workflow=tmp_path / "flow/main.nf", attach=[tmp_path / "flow/results"])
    assert "results/old.txt" in found.attachments, "who names it wants it"
    found = bundle(tmp_path, workflow=tmp_path / "flow/main.nf", attach=[tmp_path / "flow/run.log"])
    assert "run.log" in found.attachments


def test_globs_in_params_bring_the_files_and_are_rewritten_where_these_move(tmp_path: Path) -> None:
    there = ("wf/main.nf", "wf/in/x.fq", "far/reads/A_1.fq", "far/reads/A_2.fq", "far/reads/B_3.fq", "far/d/e/f.txt")
    write(tmp_path, dict.fromkeys(there, ""))
    params = {"reads": "far/reads/*_{1,2}.fq", "near": "wf/in/*.fq", "deep": "far/d/**/*.txt", "own": "in/*.fq"}
    found = bundle(tmp_path, dict(params), workflow=tmp_path / "wf")
    assert found.params == {
        "reads": "inputs/reads/*_{1,2}.fq",
        "near": "in/*.fq",
        "deep": "inputs/d/**/*.txt",
        "own": "in/*.fq",
    }
    assert set(found.attachments) == {
        *("main.nf", "in/x.fq", "inputs/reads/A_1.fq", "inputs/reads/A_2.fq", "inputs/d/e/f.txt"),
    }
    assert found.warnings == ()


def test_globs_in_place_are_absolute(tmp_path: Path) -> None:
    write(tmp_path, {"main.nf": "", "big/a.fq": ""})
    found = bundle(tmp_path, {"reads": "big/*.fq"}, workflow=tmp_path, in_place=[tmp_path / "big"])
    assert (set(found.attachments), found.params) == ({"main.nf"}, {"reads": f"{tmp_path}/big/*.fq"})


def test_a_sheet_of_the_params_brings_what_it_names_by_that_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "wf/main.nf": "",
            "lab/samples.csv": 'sample,fastq_1,fastq_2\nA,"reads/A_1.fq",reads/A_2.fq\nB,wf-near.fq,reads/gone.fq.gz\n',
            "wf/wf-near.fq": "",
            "lab/reads/A_1.fq": "",
            "lab/reads/A_2.fq": "",
        },
    )
    found = bundle(tmp_path, {"input": "lab/samples.csv"}, workflow=tmp_path / "wf/main.nf")
    assert set(found.attachments) == {"main.nf", "inputs/samples.csv", "reads/A_1.fq", "reads/A_2.fq", "wf-near.fq"}
    assert found.params == {"input": "inputs/samples.csv"}
    [warning] = found.warnings
    assert "samples.csv names reads/gone.fq.gz, which can't be uploaded by that name" in warning
    assert "--attach" in warning


def test_a_sheet_for_a_workflow_of_the_web_keeps_its_reads_beside_it(tmp_path: Path) -> None:
    write(tmp_path, {"samples.tsv": "A\treads/A.fq\n", "reads/A.fq": ""})
    found = bundle(tmp_path, {"input": "samples.tsv"}, workflow="https://github.com/o/r/blob/v1/main.nf")
    assert set(found.attachments) == {"samples.tsv", "reads/A.fq"}


def test_a_sheet_with_absolute_paths_says_that_they_are_not_uploaded(tmp_path: Path) -> None:
    write(tmp_path, {"main.nf": "", "far/A.fq": "", "samples.csv": f"A,{tmp_path}/far/A.fq\n"})
    found = bundle(tmp_path, {"input": "samples.csv"}, workflow=tmp_path)
    assert [each for each in found.warnings if f"{tmp_path}/far/A.fq" in each]
    assert set(found.attachments) == {"main.nf", "samples.csv"}
    quiet = bundle(tmp_path, {"input": "samples.csv"}, workflow=tmp_path, in_place=[tmp_path / "far"])
    assert quiet.warnings == ()


def test_what_is_named_and_not_found_or_not_taken_is_told_with_the_option(tmp_path: Path) -> None:
    write(tmp_path, {"Snakefile": "configfile: 'config/c.yaml'", "config/c.yaml": "reads: data", "data/a.fq": ""})
    [warning] = bundle(tmp_path, {"more": "other/*.fq"}, workflow=tmp_path).warnings[1:]
    assert "'other/*.fq', which no file fits" in warning
    [warning] = bundle(tmp_path, workflow=tmp_path).warnings
    assert f"names the folder data, which is not uploaded: add --attach {tmp_path}/data" in warning


def test_a_sheet_that_is_no_text_is_only_uploaded(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00" * 50)
    write(tmp_path, {"main.nf": "", "b.yaml": "[[[", "c.json": "[" * 5000})
    params = {"a": "a.csv", "b": "b.yaml", "c": "c.json"}
    found = bundle(tmp_path, dict(params), workflow=tmp_path / "main.nf")
    assert (set(found.attachments), found.warnings) == ({"main.nf", *params.values()}, ())


@pytest.mark.parametrize("remote", [True, False])
def test_an_attached_nextflow_config_is_added_to_the_pipelines_own(tmp_path: Path, remote: bool) -> None:
    write(tmp_path, {"wf/main.nf": "", "wf/nextflow.config": "a = 1", "site/nextflow.config": "b = 1"})
    workflow = "https://github.com/o/r/blob/v1/main.nf" if remote else tmp_path / "wf/main.nf"
    found = bundle(tmp_path, workflow=workflow, attach=[tmp_path / "site/nextflow.config"])
    assert found.attachments["added-config/nextflow.config"] == tmp_path / "site/nextflow.config"
    assert found.engine_parameters == {"config": "added-config/nextflow.config"}
    assert remote or found.attachments["nextflow.config"] == tmp_path / "wf/nextflow.config"


def test_an_attached_nextflow_config_is_the_pipelines_where_it_has_none(tmp_path: Path) -> None:
    write(tmp_path, {"wf/main.nf": "", "site/nextflow.config": "b = 1"})
    found = bundle(tmp_path, workflow=tmp_path / "wf/main.nf", attach=[tmp_path / "site/nextflow.config"])
    assert (set(found.attachments), found.engine_parameters) == ({"main.nf", "nextflow.config"}, {})


KEY = {"home/.ssh/id_rsa": "secret"}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def default(location: str) -> Json:
    return tool(x={"type": "File", "default": {"class": "File", "location": location}})


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("main.nf", "x = file('../../.ssh/id_rsa')"),
        ("Snakefile", "rule a:\n  input: '../../.ssh/id_rsa'"),
        ("wf.wdl", 'version 1.0\nimport "../../.ssh/id_rsa"'),
        ("wf.cwl", default("../../.ssh/id_rsa")),
    ],
)
def test_a_workflow_that_names_a_key_is_refused_with_the_file_and_the_option(
    tmp_path: Path, name: str, source: object
) -> None:
    write(tmp_path, {f"home/downloads/wf/{name}": source, **KEY})
    main = tmp_path / "home/downloads/wf" / name
    with pytest.raises(InvalidArgument, match=r"(?s)home/\.ssh/id_rsa  \(named by .*--attach FILE.*--allow-outside"):
        bundle(tmp_path, workflow=main)
    sent = bundle(tmp_path, workflow=main, allow_outside=True).attachments.values()
    assert tmp_path / "home/.ssh/id_rsa" in sent
    assert (
        tmp_path / "home/.ssh/id_rsa"
        in bundle(tmp_path, workflow=main, attach=[tmp_path / "home/.ssh/id_rsa"]).attachments.values()
    )


def test_a_link_that_leads_out_of_the_folder_is_outside(tmp_path: Path) -> None:
    write(tmp_path, {"wf/main.nf": "x = file('data.txt')", **KEY})
    (tmp_path / "wf/data.txt").symlink_to(tmp_path / "home/.ssh/id_rsa")
    with pytest.raises(InvalidArgument, match=r"wf/data\.txt -> .*/id_rsa"):
        bundle(tmp_path, workflow=tmp_path / "wf/main.nf")


def test_a_link_among_what_the_engine_reads_unasked_is_outside_too(tmp_path: Path) -> None:
    write(tmp_path, {"wf/main.nf": "", "wf/bin/a.sh": "", **KEY})
    (tmp_path / "wf/bin/x").symlink_to(tmp_path / "home/.ssh/id_rsa")
    with pytest.raises(InvalidArgument, match=r"bin/x -> .*/id_rsa"):
        bundle(tmp_path, workflow=tmp_path / "wf/main.nf")


def test_the_repository_of_a_workflow_is_its_folder_but_not_what_git_keeps(tmp_path: Path) -> None:
    write(tmp_path, {"r/.git/config": "token", "r/flows/main.nf": "file('../data/a.txt')", "r/data/a.txt": ""})
    assert set(bundle(tmp_path, workflow=tmp_path / "r/flows/main.nf").attachments) == {"flows/main.nf", "data/a.txt"}
    write(tmp_path, {"r/flows/main.nf": "file('../.git/config')"})
    with pytest.raises(InvalidArgument, match=r"\.git/config"):
        bundle(tmp_path, workflow=tmp_path / "r/flows/main.nf")


def test_a_home_folder_under_git_is_not_the_workflows_folder(tmp_path: Path) -> None:
    write(tmp_path, {"home/.git/HEAD": "", "home/wf/main.nf": "file('../notes.txt')", "home/notes.txt": ""})
    with pytest.raises(InvalidArgument, match=r"notes\.txt"):
        bundle(tmp_path, workflow=tmp_path / "home/wf/main.nf")


def test_a_workflow_right_in_the_home_folder_does_not_reach_hidden_files(tmp_path: Path) -> None:
    write(tmp_path, {"home/main.nf": "file('.ssh/id_rsa'); file('data.txt')", "home/data.txt": "", **KEY})
    with pytest.raises(InvalidArgument, match=r"(?s)id_rsa  \(named"):
        bundle(tmp_path, workflow=tmp_path / "home/main.nf")


def test_a_pattern_of_secondary_files_reaches_no_other_folder(tmp_path: Path) -> None:
    document = tool(x={"type": "File", "secondaryFiles": ["/../home/.ssh/id_rsa", "^^^^/../../x"]})
    write(tmp_path, {"wf/wf.cwl": document, "wf/a.txt": "", **KEY})
    found = bundle(tmp_path, {"x": {"class": "File", "path": "wf/a.txt"}}, workflow=tmp_path / "wf/wf.cwl")
    assert set(found.attachments) == {"wf.cwl", "a.txt"}


def test_the_params_of_a_person_may_name_what_they_like(tmp_path: Path) -> None:
    write(tmp_path, {"wf/main.nf": "", "data/a.fq": ""})
    found = bundle(tmp_path, {"reads": "data/a.fq"}, workflow=tmp_path / "wf/main.nf")
    assert found.params == {"reads": "inputs/a.fq"}
