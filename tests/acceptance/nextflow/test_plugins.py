"""A plugin of Nextflow, from its registry or from a file, used by a workflow in the sandbox."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from common.engine import Installation
from tests.acceptance.nextflow.running import Nextflow
from tests.engine_fixtures import engines_folder

NAME = "nf-wes-greeting"
SOURCES = {
    "Greeting.java": """
        package greeting;
        public class Greeting extends nextflow.plugin.BasePlugin {
            public Greeting(org.pf4j.PluginWrapper wrapper) { super(wrapper); }
        }
    """,
    "Functions.java": """
        package greeting;
        public class Functions extends nextflow.plugin.extension.PluginExtensionPoint {
            @Override protected void init(nextflow.Session session) {}
            @nextflow.plugin.extension.Function
            public String greet(String name) { return "VERSION greets " + name; }
        }
    """,
}
WORKFLOW = f"""\
include {{ greet }} from 'plugin/{NAME}'
process SAY {{
  publishDir 'results'
  input: val text
  output: path 'said.txt'
  script: "echo '$text' > said.txt"
}}
def writable(folder) {{ try {{ new File(folder, 'x').createNewFile() }} catch (IOException e) {{ false }} }}
workflow {{
  println 'WRITABLE ' + writable(System.getenv('NXF_PLUGINS_DIR'))
  SAY(greet('Ada'))
}}
"""


def build(folder: Path, installation: Installation, version: str) -> Path:
    """The plugin's archive, as a developer would publish it."""
    place = folder / version
    place.mkdir()
    for name, text in SOURCES.items():
        (place / name).write_text(text.replace("VERSION", version))
    classpath = f"{installation.environment / 'jars'}/*"
    sources = [str(place / name) for name in SOURCES]
    subprocess.run(["javac", "--release", "17", "-proc:none", "-d", place, "-cp", classpath, *sources], check=True)
    manifest = (
        f"Manifest-Version: 1.0\nPlugin-Id: {NAME}\nPlugin-Version: {version}\n"
        "Plugin-Class: greeting.Greeting\nPlugin-Requires: >=25.04.0\n"
    )
    archive = folder / f"{NAME}-{version}.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("classes/META-INF/MANIFEST.MF", manifest)
        opened.writestr("classes/META-INF/extensions.idx", "greeting.Functions\n")
        for path in place.rglob("*.class"):
            opened.write(path, f"classes/{path.relative_to(place)}")
    return archive


@pytest.fixture
def registry(tmp_path: Path, nextflow_installation: Installation) -> Iterator[str]:
    """One that has version 1.9.0; version 1.10.0 lies in a file beside it."""
    archive = build(tmp_path, nextflow_installation, "1.9.0")
    build(tmp_path, nextflow_installation, "1.10.0")

    class Files(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        digest = hashlib.sha512(archive.read_bytes()).hexdigest()
        release = {"version": "1.9.0", "url": f"{url}/{archive.name}", "sha512sum": digest, "requires": ">=25.04.0"}
        (tmp_path / "plugins.json").write_text(json.dumps([{"id": NAME, "releases": [release]}]))
        yield f"{url}/plugins.json"
        server.shutdown()
        thread.join()


def wes_engines(registry: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "wes_cli.main", "engines", *arguments, "--engines", str(engines_folder())],
        env={**os.environ, "WES_PLUGINS_URL": registry, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_plugins_from_the_registry_and_from_a_file_lie_side_by_side_and_the_newest_is_used(
    nextflow: Nextflow, registry: str, tmp_path: Path
) -> None:
    archive = tmp_path / f"{NAME}-1.10.0.zip"
    said = wes_engines(registry, "install", "nextflow", "--plugin", f"{NAME}@1.9.0", "--plugin", str(archive))
    try:
        assert f"its plugin {NAME}@1.9.0 is in " in said
        listed = [line.split() for line in wes_engines(registry, "list").splitlines()]
        assert [row[2:4] for row in listed if row[:1] == ["nextflow"]][1:] == [[NAME, "1.10.0"], [NAME, "1.9.0"]]
        ended = nextflow.complete(WORKFLOW, {"nextflow.config": f"plugins {{ id '{NAME}' }}"})
        assert ended.text("said.txt") == "1.10.0 greets Ada\n"
        assert "WRITABLE false" in ended.stdout
    finally:
        wes_engines(registry, "remove-plugin", "nextflow", f"{NAME}@1.9.0", f"{NAME}@1.10.0")
    assert NAME not in wes_engines(registry, "list")
