"""A Snakemake workflow laid out as usual, straight from its git repository."""

from pathlib import Path

from tests.acceptance.stack import Wes, attachment
from tests.fakes.git_server import git_site
from tests.http_client import http

SNAKEFILE = """
configfile: "config/config.yaml"
include: "rules/say.smk"
rule all:
    input: "out/said.txt"
"""
RULE = """
rule say:
    input: "data/a.txt"
    output: "out/said.txt"
    shell: "{workflow.basedir}/scripts/say.sh {config[word]} $(cat {input}) > {output}"
"""
FILES = {
    "workflow/Snakefile": SNAKEFILE,
    "workflow/rules/say.smk": RULE,
    "workflow/scripts/say.sh": '#!/bin/sh\necho "$@"\n',
    "config/config.yaml": "word: theirs\n",
    "data/a.txt": "data",
}


def test_a_repository_runs_as_if_it_had_been_cloned_and_attachments_replace_its_files(
    wes_with_snakemake: Wes, tmp_path: Path
) -> None:
    wes = wes_with_snakemake
    with git_site(tmp_path) as gits:
        folder = gits.repository("lab/flow", FILES)
        (folder / "workflow/scripts/say.sh").chmod(0o755)
        commit = gits.commit(folder, {})
        url = f"git+{gits.url}/lab/flow@main#workflow/Snakefile"
        fields = {"workflow_type": "SMK", "workflow_type_version": "9", "workflow_url": url}
        plain = wes.wait(wes.submit(fields))
        mine = wes.wait(wes.submit(fields, [attachment("config/config.yaml", "word: mine\n")]))
    for log, said in ((plain, "theirs data\n"), (mine, "mine data\n")):
        assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
        assert http.get(log["outputs"]["out/said.txt"]["location"]).text == said
        assert log["workflow_source"]["revision"] == commit
    assert "Attached, so not fetched: config/config.yaml." in mine["run_log"]["system_logs"]
