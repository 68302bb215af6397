"""What a workflow's profile and engine parameters set, as Snakemake's own options do."""

from tests.integration.engines.snakemake.conftest import SnakemakeRuns

SNAKEFILE = """
configfile: "config/config.yaml"
rule all:
    input: "a.txt", "b.txt"
rule a:
    output: "a.txt"
    threads: 2
    resources: mem_mb=500
    params: words=[config[name] for name in ("one", "two", "three", "four", "five")]
    shell: "echo {params.words} {threads} {resources.mem_mb} > {output}"
rule b:
    output: "b.txt"
    threads: 2
    shell: "[ {resources.attempts} = 2 ] || exit 1; echo {threads} {resources.disk_mb} > {output}"
"""
PROFILE = """
executor: slurm
jobs: unlimited
printshellcmds: true
retries: 1
keep-going: true
default-resources:
  disk_mb: 300
  slurm_partition: short
  attempts: attempt
set-threads:
  a: 3
  b: 4
set-resources:
  a:
    mem_mb: 1000
config:
  two: profile
  three: profile
configfile: [profiles/default/more.yaml]
"""
FILES = {
    "workflow/Snakefile": SNAKEFILE,
    "workflow/profiles/default/config.yaml": PROFILE.replace("profiles/default/", "workflow/profiles/default/"),
    "workflow/profiles/default/more.yaml": "one: file of the profile\ntwo: no\n",
    "config/config.yaml": "{one: theirs, two: theirs, three: theirs, four: theirs, five: theirs}\n",
    "mine.yaml": "three: mine\nfour: mine\n",
}


def test_each_version_goes_by_the_workflows_profile_and_by_parameters_that_win(
    runs_of_each_version: SnakemakeRuns,
) -> None:
    parameters = {"set_threads": "b=1", "configfiles": "mine.yaml"}
    run = runs_of_each_version.new(FILES, {"four": "params"}, workflow="workflow/Snakefile", parameters=parameters)
    run.start().outputs()
    work = run.folder.work
    assert (work / "a.txt").read_text() == "file of the profile profile mine params theirs 3 1000\n"
    assert (work / "b.txt").read_text() == "1 300\n"
    tasks = runs_of_each_version.tasks(run)
    assert sorted(tasks) == ["a", "b", "b #2"]
    assert float(tasks["a"]["resources"]["ram_gb"]) == 1
    assert "cpu_cores" not in tasks["b"]["resources"] or int(tasks["b"]["resources"]["cpu_cores"]) == 1
    assert run.end is not None
    assert "not used here: executor, printshellcmds" in run.end.stderr


def test_a_profile_that_is_not_there_and_a_setting_that_can_not_be_read_are_told(snakemake_runs: SnakemakeRuns) -> None:
    run = snakemake_runs.new(FILES, workflow="workflow/Snakefile", parameters={"profile": "slurm"}).start()
    assert "there is no profile 'slurm' among the attachments" in run.reason()
    bad = {"profile": "none", "set_threads": "a=many b"}
    run = snakemake_runs.new(FILES, workflow="workflow/Snakefile", parameters=bad).start()
    assert "a setting of the profile or of the engine parameters can't be read: " in run.reason()
