"""A Nextflow pipeline straight from its git repository."""

from pathlib import Path

from tests.acceptance.nextflow.running import Nextflow
from tests.fakes.git_server import git_site
from tests.http_client import http

MAIN = """
include { SAY } from './modules/say'
params.word = 'none'
workflow { SAY(params.word) }
"""
MODULE = """
process SAY {
    publishDir 'results', mode: 'copy'
    input: val word
    output: path 'said.txt'
    script: "say.sh $word > said.txt"
}
"""


def test_a_repository_brings_its_modules_bin_and_config(nextflow: Nextflow, tmp_path: Path) -> None:
    with git_site(tmp_path) as gits:
        files = {
            "main.nf": MAIN,
            "modules/say/main.nf": MODULE,
            "nextflow.config": "params.word = 'configured'\n",
            "bin/say.sh": '#!/bin/sh\necho "$@"\n',
        }
        folder = gits.repository("lab/flow", files)
        (folder / "bin/say.sh").chmod(0o755)
        commit = gits.commit(folder, {})
        url = f"git+{gits.url}/lab/flow@{commit}#main.nf"
        run_id = nextflow.wes.submit({"workflow_type": "NFL", "workflow_type_version": "DSL2", "workflow_url": url})
        log = nextflow.wes.wait(run_id)
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert http.get(log["outputs"]["said.txt"]["location"]).text == "configured\n"
    assert log["workflow_source"]["revision"] == commit
