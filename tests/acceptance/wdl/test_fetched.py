"""A WDL workflow from a web server."""

from tests.acceptance.stack import Wes
from tests.fakes.web_server import web_site
from tests.http_client import http

MAIN = """version 1.0
import "lib/say.wdl" as lib
workflow w {
  call lib.say
  output { File said = say.said }
}
"""
LIB = """version 1.0
task say {
  command { echo hello > said.txt }
  output { File said = "said.txt" }
}
"""


def test_a_document_of_the_web_brings_its_imports(wdl: Wes) -> None:
    with web_site() as site:
        site.pages |= {"/w/main.wdl": MAIN, "/w/lib/say.wdl": LIB}
        fields = {"workflow_type": "WDL", "workflow_type_version": "1.0", "workflow_url": f"{site.url}/w/main.wdl"}
        log = wdl.wait(wdl.submit(fields))
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert http.get(log["outputs"]["w.said"]["location"]).text == "hello\n"
    assert log["workflow_source"]["files"] == 2
