"""Absolute URLs of this server, as its documents carry them."""

import re
from dataclasses import dataclass
from urllib.parse import quote

WES_PATH = "/ga4gh/wes/v1"
TES_PATH = "/ga4gh/tes/v1"
STREAMS = ("stdout", "stderr")
_PLAIN = re.compile(r"[A-Za-z0-9_.\-]+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Links:
    """`base` is scheme and host (and a prefix, behind a proxy), without a slash at the end."""

    base: str

    def run(self, run_id: str) -> str:
        return f"{self.base}{WES_PATH}/runs/{run_id}"

    def engine_log(self, run_id: str, stream: str) -> str:
        return f"{self.run(run_id)}/logs/{stream}"

    def tasks(self, run_id: str) -> str:
        return f"{self.run(run_id)}/tasks"

    def task_logs(self, run_id: str, log_id: str) -> tuple[str, str]:
        """Of stdout and stderr."""
        logs = f"{self.base}{WES_PATH}/runs/{run_id}/tasks/{_quoted(log_id)}/logs/"
        return f"{logs}stdout", f"{logs}stderr"

    def outputs(self, run_id: str) -> str:
        return f"{self.run(run_id)}/outputs"

    def tes_task(self, task_id: str) -> str:
        return f"{self.base}{TES_PATH}/tasks/{_quoted(task_id)}"


def _quoted(name: str) -> str:
    """Our own ids need no quoting, and asking for it takes most of the time that a link takes."""
    return name if _PLAIN.fullmatch(name) else quote(name, safe="")
