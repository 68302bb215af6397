"""What an engine reads from the network by itself, in every language, and what it is told where it may not."""

import json
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.acceptance.conftest import started_wes
from tests.acceptance.nextflow.running import Nextflow
from tests.acceptance.snakemake.conftest import snakemake_installations
from tests.acceptance.stack import Wes, attachment
from tests.acceptance.wdl.conftest import wait_for_engine
from tests.acceptance.workflows import ECHO
from tests.fakes.web_server import Site, web_site
from tests.http_client import http
from tests.wdl_fixtures import wdl_installation

__all__ = ["snakemake_installations", "wdl_installation"]

HOST = socket.gethostname()
CWL = """\
cwlVersion: v1.2
class: Workflow
requirements: {InlineJavascriptRequirement: {}, StepInputExpressionRequirement: {}}
inputs: {word: {type: File, loadContents: true}}
outputs: {said: {type: File, outputSource: say/said}}
steps:
  say:
    run: SITE/tools/echo.cwl
    in: {word: {source: word, valueFrom: $(self.contents)}}
    out: [said]
$schemas: [SITE/words.rdf]
"""
RDF = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>'
SNAKEMAKE = """\
from urllib.request import urlopen
word = urlopen("SITE/word.txt").read().decode()
rule all:
    input: "said.txt"
include: "SITE/rules/say.smk"
"""
RULES = """\
rule say:
    output: "said.txt"
    params: word=word
    shell: "echo {params.word} > {output}"
"""
NEXTFLOW = """\
process SAY {
  publishDir 'results'
  input: path word
  output: path 'said.txt'
  script: "cat $word > said.txt"
}
workflow { SAY(file('SITE/word.txt')); println "it says ${file('SITE/word.txt').text}" }
"""
WDL = """\
version 1.1
import "SITE/lib/flow.wdl" as flow
workflow w {
  input { File text = "SITE/word.txt" }
  File same = text
  call flow.f { input: word = read_string(same) }
  call measure { input: text = text, longest = ceil(size(text)) }
  output { File said = f.said  Int bytes = measure.bytes }
}
task measure {
  input { File text  File other = "SITE/large.bin"  Int longest }
  Int whole = ceil(size([text, other]))
  command <<< echo ~{whole} ~{longest} >>>
  runtime { returnCodes: if read_string(text) == "hello" then "*" else 77 }
  output { Int bytes = ceil(size(text)) + longest + whole }
}
"""
FLOW = """\
version 1.1
import "tools/say.wdl" as tools
workflow f {
  input { String word }
  call tools.say { input: word = word }
  output { File said = say.said }
}
"""
SAY = """\
version 1.1
task say {
  input { String word }
  command <<< echo ~{word} >>>
  output { File said = stdout() }
}
"""
PAGES = {
    "/tools/echo.cwl": ECHO,
    "/words.rdf": RDF,
    "/word.txt": "hello",
    "/rules/say.smk": RULES,
    "/lib/flow.wdl": FLOW,
    "/lib/tools/say.wdl": SAY,
    "/large.bin": "x" * 1000,
}
RUNS: Mapping[str, tuple[str, str, str, str]] = {
    "cwl": ("CWL", "v1.2", "main.cwl", CWL),
    "snakemake": ("SMK", "9", "Snakefile", SNAKEMAKE),
    "nextflow": ("NFL", "DSL2", "main.nf", NEXTFLOW),
    "wdl": ("WDL", "1.1", "main.wdl", WDL),
}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with web_site(address=socket.gethostbyname(HOST)) as running:
        running.pages |= PAGES
        yield running


@pytest.fixture(scope="module")
def service(
    cwl_installation: object, nextflow_installation: object, wdl_installation: object, snakemake_installations: None
) -> Iterator[Wes]:
    with started_wes(environment={"WES_ENGINE_NETWORK": HOST, "WES_FETCH_ALLOW": HOST}) as started:
        Nextflow(wes=started).wait_until_listed()
        wait_for_engine(started)
        yield started


@pytest.fixture(scope="module")
def logs(service: Wes, site: Site) -> Mapping[str, Any]:
    """The log of each language's run, and of one that asks for what is not allowed."""
    ids = {name: submit(service, name, f"http://{HOST}:{site.port}") for name in RUNS}
    ids["refused"] = submit(service, "cwl", "http://169.254.169.254")
    return {name: service.wait(run_id) for name, run_id in ids.items()}


def submit(wes: Wes, name: str, site: str) -> str:
    kind, version, url, text = RUNS[name]
    params = {"word": {"class": "File", "location": f"{site}/word.txt"}} if name == "cwl" else {}
    form = {"workflow_type": kind, "workflow_type_version": version, "workflow_url": url}
    form["workflow_params"] = json.dumps(params)
    return wes.submit(form, [attachment(url, text.replace("SITE", site))])


@pytest.mark.parametrize("name", RUNS)
def test_documents_and_small_files_come_from_the_hosts_that_the_operator_names(
    logs: Mapping[str, Any], name: str
) -> None:
    log = logs[name]
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    location = re.search(r'http://[^"]*(said|stdout)[^"]*', json.dumps(log["outputs"]))
    assert location, log["outputs"]
    assert http.get(location[0]).text.strip() == "hello"


def test_sizes_and_contents_of_files_at_urls_are_there_for_expressions_of_wdl(logs: Mapping[str, Any]) -> None:
    assert logs["wdl"]["outputs"]["w.bytes"] == len("hello") + len("hello") + 1005


def test_every_request_came_by_the_proxy_with_the_name_of_its_host(logs: Mapping[str, Any], site: Site) -> None:
    assert logs
    assert set(site.paths()) == set(PAGES)
    assert {host for _, host in site.asked} == {f"{HOST}:{site.port}"}


def test_what_is_not_allowed_is_told_with_the_setting(logs: Mapping[str, Any]) -> None:
    log = logs["refused"]
    assert log["state"] == "EXECUTOR_ERROR"
    told = "the host 169.254.169.254 has the address 169.254.169.254, which is not one that may be asked"
    lines = log["run_log"]["system_logs"]
    assert any(f"The engine was not let to a host: {told}" in line for line in lines), lines
    assert "WES_ENGINE_NETWORK" in "\n".join(lines)
    assert "http://169.254.169.254/tools/echo.cwl, which can't be fetched" in "\n".join(lines), lines
