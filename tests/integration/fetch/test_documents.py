"""Workflow documents from a web server on loopback."""

import gzip
import hashlib
import socket
import ssl
from pathlib import Path

import pytest

from common.errors import EngineError, SystemFailure
from tests.fakes.web_server import Reply, Site, certificate, web_site
from tests.integration.fetch.conftest import LOOPBACK, Bring, files
from wes_service.fetch.web import FetchLimits

TOOL = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\ninputs: {}\noutputs: []\n"
REDIRECT = {"Location": "/new/wf.cwl"}


def workflow(*tools: str) -> str:
    steps = "\n".join(f"  s{number}: {{run: {tool}, in: {{}}, out: []}}" for number, tool in enumerate(tools))
    return f"cwlVersion: v1.2\nclass: Workflow\ninputs: {{}}\noutputs: []\nsteps:\n{steps}\n"


def test_a_document_comes_with_what_it_refers_to(site: Site, bring: Bring, root: Path) -> None:
    main = workflow("tools/a.cwl", "'tools/my%20b.cwl#part'", "'#inner'")
    site.pages |= {
        "/x/wf.cwl": main,
        "/x/tools/a.cwl": TOOL + "hints: {$import: ../h.yml}\n",
        "/x/tools/my%20b.cwl": TOOL,
        "/x/h.yml": "{}",
    }
    fetched = bring(f"{site.url}/x/wf.cwl#main")
    assert fetched.name == "wf.cwl"
    assert files(root) == {
        "wf.cwl": main,
        "tools/a.cwl": TOOL + "hints: {$import: ../h.yml}\n",
        "tools/my b.cwl": TOOL,
        "h.yml": "{}",
    }
    digest = hashlib.sha256(main.encode()).hexdigest()
    url = f"{site.url}/x/wf.cwl"
    assert fetched.source == {"url": url, "final_url": url, "sha256": digest, "files": 4}
    assert fetched.lines == (f"The workflow was fetched from {url} (SHA-256 {digest}); 4 files.",)
    assert len(site.asked) == 4


def test_what_lies_above_the_document_keeps_its_place(site: Site, bring: Bring, root: Path) -> None:
    site.pages |= {
        "/p/flows/wf.cwl": workflow("../tools/a.cwl", "../../top.cwl"),
        "/p/tools/a.cwl": TOOL,
        "/top.cwl": TOOL,
    }
    assert bring(f"{site.url}/p/flows/wf.cwl").name == "p/flows/wf.cwl"
    assert set(files(root)) == {"p/flows/wf.cwl", "p/tools/a.cwl", "top.cwl"}


def test_redirects_are_followed_and_references_are_relative_to_where_they_lead(
    site: Site, bring: Bring, root: Path
) -> None:
    site.pages |= {
        "/wf": Reply(status=302, headers={"Location": "/a"}),
        "/a": Reply(status=301, headers=REDIRECT),
        "/new/wf.cwl": workflow("a.cwl"),
        "/new/a.cwl": Reply(status=307, headers={"Location": "/elsewhere/b.cwl"}),
        "/elsewhere/b.cwl": TOOL + "hints: {$import: h.yml}\n",
        "/elsewhere/h.yml": "{}",
    }
    fetched = bring(f"{site.url}/wf?download=1".replace("?download=1", ""))
    assert (fetched.name, set(files(root))) == ("wf.cwl", {"wf.cwl", "a.cwl", "h.yml"})
    assert fetched.source["final_url"] == f"{site.url}/new/wf.cwl"


def test_what_is_attached_is_taken_in_place_of_what_the_document_refers_to(
    site: Site, bring: Bring, root: Path
) -> None:
    site.pages["/x/wf.cwl"] = workflow("tools/a.cwl")
    tool = root / "attachments/tools/a.cwl"
    tool.parent.mkdir()
    tool.write_text(TOOL)
    bring(f"{site.url}/x/wf.cwl")
    assert site.paths() == ["/x/wf.cwl"]
    assert set(files(root)) == {"wf.cwl", "tools/a.cwl"}


def test_an_attachment_of_the_documents_own_name_stays(site: Site, bring: Bring, root: Path) -> None:
    site.pages["/wf.cwl"] = TOOL
    (root / "attachments/wf.cwl").write_text("mine")
    assert bring(f"{site.url}/wf.cwl").lines[-1] == "Attached, so not fetched: wf.cwl."
    assert files(root) == {"wf.cwl": "mine"}


def test_a_file_that_may_be_missing_is_no_failure_and_one_that_may_not_names_who_needs_it(
    site: Site, bring: Bring, root: Path
) -> None:
    default = "inputs: {f: {type: File, default: {class: File, location: data.txt}}}\n"
    site.pages["/wf.cwl"] = TOOL.replace("inputs: {}\n", default)
    bring(f"{site.url}/wf.cwl")
    assert set(files(root)) == {"wf.cwl"}
    site.pages["/bad.cwl"] = workflow("gone.cwl")
    with pytest.raises(
        EngineError, match=r"/gone\.cwl does not exist, and .*/bad\.cwl at 'steps\.s0\.run' refers to it"
    ):
        bring(f"{site.url}/bad.cwl")
    assert set(files(root)) == {"wf.cwl"}


@pytest.mark.parametrize(
    ("language", "pages", "name"),
    [
        (
            "SMK",
            {
                "/w/Snakefile": 'configfile: "c/c.yaml"\ninclude: "rules/a.smk"\n',
                "/w/rules/a.smk": 'rule a:\n    script: "../s.py"\n',
                "/w/s.py": "",
                "/w/c/c.yaml": "",
            },
            "Snakefile",
        ),
        (
            "NFL",
            {
                "/w/main.nf": "include { A } from './modules/a'\ninclude { B } from './b'\n",
                "/w/modules/a/main.nf": "include { C } from '../c.nf'\n",
                "/w/modules/c.nf": "",
                "/w/b.nf": "",
                "/w/nextflow.config": "includeConfig 'conf/a.config'\n",
                "/w/conf/a.config": "",
            },
            "main.nf",
        ),
        ("WDL", {"/w/a.wdl": 'version 1.0\nimport "lib/b.wdl"\n', "/w/lib/b.wdl": "version 1.0\n"}, "a.wdl"),
    ],
)
def test_sources_come_with_what_their_own_statements_name(
    site: Site, bring: Bring, root: Path, language: str, pages: dict[str, str], name: str
) -> None:
    site.pages |= pages
    assert bring(f"{site.url}/w/{name}", language).name == name
    assert set(files(root)) == {path.removeprefix("/w/") for path in pages}


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(status=404), "does not exist"),
        (Reply(status=403), "answered 403 Forbidden: it needs credentials"),
        (Reply(status=401), "answered 401"),
        (Reply(status=400), "answered 400"),
        (Reply(body=b"<!DOCTYPE html><html>"), "is a web page, not a workflow"),
        (Reply(status=302, headers={"Location": "/wf.cwl"}), "redirects more than 10 times"),
        (Reply(status=302, headers={"Location": "file:///etc/passwd"}), "redirects to what is no plain http"),
        (Reply(status=302, headers={"Location": "https://u:p@h/x"}), "redirects to what is no plain http"),
        (Reply(status=302, headers={"Location": "http://169.254.169.254/x"}), "169.254.169.254, which is not a public"),
        (Reply(status=302, headers={"Location": "http://[::1]/x"}), "which is not a public"),
        (Reply(body=b"this is no gzip", headers={"Content-Encoding": "gzip"}), "not compressed as the server says"),
        (Reply(body=b"x", headers={"Content-Encoding": "gzip, gzip"}), "compressed more than once"),
    ],
)
def test_a_url_that_is_to_blame_is_told_with_the_reason(
    site: Site, bring: Bring, root: Path, reply: Reply, says: str
) -> None:
    site.pages["/wf.cwl"] = reply
    with pytest.raises(EngineError, match=says) as failed:
        bring(f"{site.url}/wf.cwl?token=secret#x".replace("?token=secret", ""))
    assert "127.0.0.1" in str(failed.value) or "host" in str(failed.value)
    assert files(root) == {}


def test_a_secret_in_a_query_is_in_no_message(site: Site, bring: Bring) -> None:
    with pytest.raises(EngineError) as failed:
        bring(f"{site.url}/wf.cwl?sig=secret")
    assert "secret" not in str(failed.value)
    site.pages["/wf.cwl?sig=secret"] = TOOL
    fetched = bring(f"{site.url}/wf.cwl?sig=secret")
    assert "secret" not in f"{fetched.lines}{fetched.source}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
def test_loopback_is_refused_however_it_is_written(site: Site, bring: Bring, host: str) -> None:
    site.pages["/wf.cwl"] = TOOL
    with pytest.raises(EngineError, match="WES_FETCH_ALLOW"):
        bring(f"http://{host}:{site.port}/wf.cwl", limits=FetchLimits())
    assert site.asked == []


def test_a_name_is_looked_up_once_and_all_its_addresses_are_checked(site: Site, bring: Bring, root: Path) -> None:
    site.pages["/wf.cwl"] = TOOL
    answers = [[("93.184.216.34", 80), ("10.0.0.1", 80)], [("127.0.0.1", site.port)]]

    def resolve(host: str, port: int) -> list[tuple[str, int]]:
        assert host == "rebinding.example"
        return answers.pop(0)

    with pytest.raises(EngineError, match=r"10\.0\.0\.1, which is not a public one"):
        bring("http://rebinding.example/wf.cwl", resolve=resolve, limits=FetchLimits())
    bring("http://rebinding.example/wf.cwl", resolve=resolve)
    assert answers == []
    assert site.asked == [("/wf.cwl", "rebinding.example")]


def test_a_name_that_does_not_exist_is_no_fault_of_a_server_and_one_that_can_not_be_looked_up_is(bring: Bring) -> None:
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[tuple[str, int]]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME if host == "none.example" else socket.EAI_AGAIN, "no")

    with pytest.raises(EngineError, match=r"there is no host none\.example"):
        bring("http://none.example/wf.cwl", resolve=resolve)
    with pytest.raises(SystemFailure, match=r"busy\.example could not be looked up \(3 times\)"):
        bring("http://busy.example/wf.cwl", resolve=resolve)
    assert asked == ["none.example", *["busy.example"] * 3]


def test_an_address_that_does_not_answer_is_passed_over_for_the_next(site: Site, bring: Bring) -> None:
    site.pages["/wf.cwl"] = TOOL
    ports = [("127.0.0.2", 1), ("127.0.0.1", site.port)]
    assert bring("http://h.example/wf.cwl", resolve=lambda *_: ports).name == "wf.cwl"


def test_what_may_pass_is_tried_again_and_then_the_server_is_to_blame(site: Site, bring: Bring) -> None:
    site.pages["/wf.cwl"] = Reply(status=503, times=2)
    site.afterwards["/wf.cwl"] = TOOL
    assert bring(f"{site.url}/wf.cwl").name == "wf.cwl"
    site.pages["/bad.cwl"] = Reply(status=500)
    with pytest.raises(SystemFailure, match=r"bad\.cwl: its server answered 500 .* \(3 times\)"):
        bring(f"{site.url}/bad.cwl")
    assert site.paths().count("/bad.cwl") == 3
    with pytest.raises(SystemFailure, match="can't be reached"):
        bring("http://127.0.0.1:1/wf.cwl")


def test_a_slow_server_is_waited_for_so_long_and_no_longer(site: Site, bring: Bring) -> None:
    site.pages["/wf.cwl"] = Reply(body=b"x", wait_seconds=30)
    with pytest.raises(SystemFailure, match="did not answer in time"):
        bring(f"{site.url}/wf.cwl", limits=FetchLimits(allow=LOOPBACK.allow, idle_seconds=0.2))
    with pytest.raises(SystemFailure, match=r"could not be fetched within 0\.1 s"):
        bring(f"{site.url}/wf.cwl", limits=FetchLimits(allow=LOOPBACK.allow, idle_seconds=0.2, seconds=0.1))


def test_a_document_over_the_limit_is_refused_before_it_is_whole(site: Site, bring: Bring, root: Path) -> None:
    small = FetchLimits(allow=LOOPBACK.allow, document_bytes=1000)
    site.pages["/wf.cwl"] = Reply(body=b"x" * 1001)
    with pytest.raises(EngineError, match=r"larger than 1000 bytes \(WES_MAX_DOCUMENT_BYTES\)"):
        bring(f"{site.url}/wf.cwl", limits=small)
    bomb = gzip.compress(b"x" * 50_000_000)
    site.pages["/wf.cwl"] = Reply(body=bomb, headers={"Content-Encoding": "gzip"})
    assert len(bomb) < 60_000
    with pytest.raises(EngineError, match="WES_MAX_DOCUMENT_BYTES"):
        bring(f"{site.url}/wf.cwl", limits=FetchLimits(allow=LOOPBACK.allow))
    assert files(root) == {}


def test_a_workflow_of_too_many_or_too_large_files_is_refused(site: Site, bring: Bring) -> None:
    site.pages |= {"/wf.cwl": workflow("a.cwl", "b.cwl"), "/a.cwl": TOOL, "/b.cwl": TOOL}
    with pytest.raises(EngineError, match="more than 2 files"):
        bring(f"{site.url}/wf.cwl", limits=FetchLimits(allow=LOOPBACK.allow, workflow_files=2))
    with pytest.raises(EngineError, match="larger than 200 bytes"):
        bring(f"{site.url}/wf.cwl", limits=FetchLimits(allow=LOOPBACK.allow, workflow_bytes=200))


def test_documents_that_refer_to_each_other_are_fetched_once(site: Site, bring: Bring) -> None:
    site.pages |= {"/a.cwl": workflow("b.cwl", "./b.cwl"), "/b.cwl": workflow("a.cwl")}
    assert bring(f"{site.url}/a.cwl").source["files"] == 2
    assert site.paths() == ["/a.cwl", "/b.cwl"]


def test_https_checks_the_certificate_and_never_leads_to_http(tmp_path: Path, site: Site, bring: Bring) -> None:
    pem = certificate(tmp_path, "wf.example")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    trusting = ssl.create_default_context(cafile=pem)
    with web_site(server) as secure:
        secure.pages |= {
            "/wf.cwl": TOOL,
            "/down.cwl": Reply(status=302, headers={"Location": f"{site.url}/wf.cwl"}),
        }

        def resolve(host: str, port: int) -> list[tuple[str, int]]:
            return [("127.0.0.1", secure.port if port == 443 else port)]

        assert bring("https://wf.example/wf.cwl", resolve=resolve, tls=trusting).name == "wf.cwl"
        with pytest.raises(EngineError, match="redirects from https to http://127"):
            bring("https://wf.example/down.cwl", resolve=resolve, tls=trusting)
        for options in ({"tls": trusting}, {}):
            host = "other.example" if options else "wf.example"
            with pytest.raises(EngineError, match="certificate of its server is not valid"):
                bring(f"https://{host}/wf.cwl", resolve=resolve, **options)
    assert site.asked == []
