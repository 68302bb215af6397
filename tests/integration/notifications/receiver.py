"""A receiver of webhooks, as a program: `python -m … PORT FILE`; each request is a line of JSON in FILE.

The path says how it behaves: `/ok`, `/gone`, `/refuses`, `/redirects`, `/fails` and `/busy` (which take what comes a
second time), `/slow` (no answer), `/drips` (a head that never ends), `/large` (an answer of a gigabyte).
"""

import json
import sys
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATUS = {"/gone": 410, "/refuses": 422, "/redirects": 302, "/fails": 500, "/busy": 429}
MEGABYTE = b"x" * 1024**2


class Receiver(BaseHTTPRequestHandler):
    seen: Counter[str] = Counter()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        line = json.dumps({"path": self.path, "headers": headers, "body": body, "time": time.time()})
        with open(sys.argv[2], "a") as file:  # noqa: PTH123 - one line, whole
            file.write(line + "\n")
        key = self.path + headers["webhook-id"]
        self.seen[key] += 1
        if self.path == "/slow":
            time.sleep(600)
        if self.path == "/drips":
            self.drip()
        again = self.path in {"/fails", "/busy"} and self.seen[key] > 1
        self.answer(200 if again else STATUS.get(self.path, 200))

    def answer(self, status: int) -> None:
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "3")
        if status == 302:
            self.send_header("Location", "/ok")
        pieces = 1024 if self.path == "/large" else 0
        self.send_header("Content-Length", str(pieces * len(MEGABYTE)))
        self.end_headers()
        for _ in range(pieces):
            self.wfile.write(MEGABYTE)

    def drip(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            self.wfile.write(b"x")
            time.sleep(0.1)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
