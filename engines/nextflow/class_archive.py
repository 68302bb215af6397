"""Makes the archive of classes that Nextflow loads, from one small workflow on a TES that only answers."""

import contextlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from common.errors import SystemFailure
from engines.nextflow.launch import (
    MAIN_CLASS,
    archiving_options,
    argument_file,
    config_text,
    environment_of,
    nextflow_arguments,
    settings_document,
)
from engines.nextflow.own_installation import OwnNextflow, active_ga4gh

NOBODY = 65534
TIMEOUT_SECONDS = 600
"""Patience on a busy machine; on an idle one it takes five."""
KILLED_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")
"""Ends with the thread that started it: a worker may be killed meanwhile."""
SAMPLE_WORKFLOW = """\
params.names = ['a', 'b']
process MAKE {
  tag "$name"
  cpus 1
  memory '1 GB'
  publishDir 'results', mode: 'copy'
  input: val name
  output: tuple val(name), path("${name}.txt")
  script:
  "echo $name > ${name}.txt"
}
process MERGE {
  publishDir 'results'
  input: path files
  output: path 'all.txt'
  script:
  "cat $files > all.txt"
}
def upper(text) { text.toUpperCase() }
workflow {
  channel.fromList(params.names).map { name -> upper(name) } | MAKE
  MAKE.out.map { name, file -> file }.collect() | MERGE
  MERGE.out | view
}
"""


def make_archive(
    java: Path, classpath: Sequence[Path], archive: Path, folder: Path, own: OwnNextflow | None = None
) -> None:
    """Runs Nextflow once in `folder`, which is new and removed at the end; `SystemFailure` where it fails.

    `own`: whose Nextflow it is, where it is a user's. As root it runs as nobody, known code or not.
    """
    ga4gh = active_ga4gh(own)
    shutil.rmtree(folder, ignore_errors=True)
    work = folder / "work"
    try:
        project = _write_project(folder)
        made = work / "made.jsa"
        with _instant_tes() as url:
            arguments = argument_file([*archiving_options(classpath, made, own.options if own else ())])
            (folder / "java.args").write_text(arguments)
            settings = settings_document(
                tes_url=url,
                token_file=folder / "token",
                default_image="none",
                parallel=4,
                work=work,
                attachments=project,
                project=project,
                ga4gh=ga4gh is not None,
            )
            (folder / "settings.json").write_text(json.dumps(settings))
            for path in folder.rglob("*"):
                path.chmod(0o755 if path.is_dir() else 0o644)
            plugins = own.plugins if own and own.plugins and ga4gh else folder / "plugins"
            _run(java, folder, project, environment_of(work, plugins, ga4gh))
        archive.unlink(missing_ok=True)
        # A Java that makes none starts more slowly, and that is all.
        if made.is_file():
            shutil.copyfile(made, archive)
            archive.chmod(0o644)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_project(folder: Path) -> Path:
    project = folder / "project"
    project.mkdir(parents=True)
    (folder / "work").mkdir()
    (folder / "plugins").mkdir()
    (project / "main.nf").write_text(SAMPLE_WORKFLOW)
    (folder / "config").write_text(config_text())
    (folder / "params.json").write_text("{}")
    (folder / "token").write_text("none")
    folder.chmod(0o755)
    return project


def _run(java: Path, folder: Path, project: Path, environment: Mapping[str, str]) -> None:
    root, work = os.geteuid() == 0, folder / "work"
    if root:
        os.chown(work, NOBODY, NOBODY)
    arguments = nextflow_arguments(
        script=project / "main.nf", configs=[folder / "config"], params=folder / "params.json", work=work
    )
    done = subprocess.run(
        [*KILLED_WITH_PARENT, java, f"@{folder / 'java.args'}", MAIN_CLASS, folder / "settings.json", *arguments],
        env=dict(environment),
        cwd=work,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
        user=NOBODY if root else None,
        group=NOBODY if root else None,
        extra_groups=[] if root else None,
    )
    if done.returncode != 0:
        last = " ".join((done.stdout + done.stderr).split())[-400:]
        raise SystemFailure(f"Nextflow does not run with {java}: {last}")


@contextlib.contextmanager
def _instant_tes() -> Iterator[str]:
    """A TES whose tasks are all complete at once; it makes the files that they would have made."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _InstantTes)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/ga4gh/tes/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _InstantTes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        output = Path(unquote(body["outputs"][0]["url"].removeprefix("file://")))
        # This project's executor names the task's folder, nf-ga4gh each file in it.
        folder = output if output.is_dir() else output.parent
        for name in ("A.txt", "B.txt", "all.txt", ".command.out", ".command.err"):
            (folder / name).touch()
        self._answer({"id": "task"})

    def do_GET(self) -> None:
        log = {"exit_code": 0, "stdout": "", "stderr": ""}
        self._answer({"id": "task", "state": "COMPLETE", "logs": [{"logs": [log], "outputs": [], "system_logs": []}]})

    def _answer(self, document: object) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""
