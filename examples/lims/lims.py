"""The part that a LIMS has to have: it submits the samples of a sheet, is told when each run has ended, and collects
the results. Nothing of it is about this server's own code: it is HTTP, and works with any language.

What makes it safe is little: the number of the order is the Idempotency-Key, so that an order may be submitted as often
as one likes; and a result is stored under the number of its order, so that one may be told of it as often as one likes.
"""

import base64
import csv
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent / "read-report"
"""The workflow: what a LIMS submits with each sample are its documents and scripts, and the sample's reads."""
MOST_SECONDS_OLD = 300
AGAIN_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Order:
    """A line of the sample sheet."""

    number: str
    sample: str
    reads: Path


def read_sheet(path: Path) -> list[Order]:
    with path.open(newline="") as sheet:
        rows = list(csv.DictReader(sheet))
    return [Order(number=row["order"], sample=row["sample"], reads=REPORT / "reads" / row["reads"]) for row in rows]


def submit(wes: str, order: Order) -> str:
    """The run of an order, made at the first time; tried again until the service says that it has it."""
    form = {
        "workflow_type": "CWL",
        "workflow_type_version": "v1.2",
        "workflow_url": "read-report.cwl",
        "workflow_params": json.dumps(
            {"samples": [order.sample], "reads": [{"class": "File", "path": f"reads/{order.reads.name}"}]}
        ),
        "tags": json.dumps({"order": order.number, "sample": order.sample}),
    }
    while True:
        with ExitStack() as opened:
            opened_files = [(name, opened.enter_context(path.open("rb"))) for name, path in attached(order)]
            files = [("workflow_attachment", named) for named in opened_files]
            try:
                answer = httpx.post(f"{wes}/runs", data=form, files=files, headers={"Idempotency-Key": order.number})
            except httpx.TransportError:
                answer = None
        if answer is not None and answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
            return str(answer.raise_for_status().json()["run_id"])
        time.sleep(AGAIN_SECONDS)


def attached(order: Order) -> Iterator[tuple[str, Path]]:
    """Names as the workflow refers to them, and files."""
    yield f"reads/{order.reads.name}", order.reads
    for pattern in ("read-report.cwl", "tools/*.cwl", "scripts/*"):
        for path in sorted(REPORT.glob(pattern)):
            yield str(path.relative_to(REPORT)), path


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a message was signed with the secret, and not long ago (Standard Webhooks); for most languages there is a
    library that does this."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    number, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent.isdecimal() or abs(time.time() - int(sent)) > MOST_SECONDS_OLD:
        return False
    digest = hmac.new(key, f"{number}.{sent}.".encode() + body, hashlib.sha256).digest()
    expected = f"v1,{base64.b64encode(digest).decode()}"
    return any(hmac.compare_digest(expected, given) for given in headers.get("webhook-signature", "").split())


@dataclass(kw_only=True)
class Lims:
    """Results are files in `results`, one for each order; `wes` is the API's base URL, `secret` that of its hook."""

    wes: str
    secret: str
    results: Path
    told: list[str] = field(default_factory=list)
    """The order of each message that came, those that came again too."""

    def receive(self, data: Mapping[str, Any]) -> None:
        """`httpx.HTTPError` where the result can't be had now: then the service is to tell it again."""
        number = data["tags"]["order"]
        self.told.append(number)
        file = self.results / f"{number}.tsv"
        if file.exists():
            return
        text = self._table(data["run_id"]) if data["state"] == "COMPLETE" else f"{data['state']}: {data['reason']}\n"
        partial = file.with_suffix(".part")
        partial.write_text(text)
        partial.rename(file)

    def _table(self, run_id: str) -> str:
        run = httpx.get(f"{self.wes}/runs/{run_id}").raise_for_status().json()
        return httpx.get(run["outputs"]["table"]["location"]).raise_for_status().text

    def collected(self) -> dict[str, str]:
        """Results by number of their order."""
        return {file.stem: file.read_text() for file in sorted(self.results.glob("*.tsv"))}

    def listen(self, port: int) -> ThreadingHTTPServer:
        """The receiver, in threads; an answer other than 2xx has the message sent again later."""
        lims = self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                if not is_genuine(lims.secret, headers, body):
                    self.send_error(401)
                    return
                try:
                    lims.receive(json.loads(body)["data"])
                except httpx.HTTPError:
                    self.send_error(503)
                    return
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the table tells."""

        server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
        Thread(target=server.serve_forever, daemon=True).start()
        return server
