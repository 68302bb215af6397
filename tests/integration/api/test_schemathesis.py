"""schemathesis on a real server, from the document that the server itself serves: all checks, and stateful.

`WES_TEST_SCHEMATHESIS` makes it longer: `SEED:SECONDS`, the seconds for each of the two tests.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.api.seeded import TOKEN, seeded_server

HERE = Path(__file__).parent
SEED, SECONDS = os.environ.get("WES_TEST_SCHEMATHESIS", "1:20").split(":")
EXAMPLES = "20"
"""Per operation and round; rounds repeat until the time is over."""


@pytest.mark.timeout(180 + 2 * int(SECONDS))
@pytest.mark.parametrize("phases", ["examples,coverage,fuzzing", "stateful"])
def test_whatever_is_asked_the_answers_are_those_of_the_document(phases: str, tmp_path: Path) -> None:
    with seeded_server(tmp_path) as server:
        argv = [
            *(sys.executable, "-m", "schemathesis.cli", f"--config-file={HERE / 'schemathesis.toml'}", "run"),
            *(f"{server.url}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}", "--checks=all"),
            *(f"--phases={phases}", f"--seed={SEED}", f"--max-time={SECONDS}", f"--max-examples={EXAMPLES}"),
            # Both tell that this machine is slow at making up data, not that an answer is wrong.
            "--suppress-health-check=filter_too_much,too_slow",
            *("--generation-database=none", "--no-color", "--continue-on-failure"),
        ]
        hooks = {"SCHEMATHESIS_HOOKS": "tests.integration.api.schemathesis_hooks", "PYTHONPATH": str(HERE.parents[2])}
        environment = {**os.environ, **hooks}
        ended = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
        assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2000:]
        assert " passed" in ended.stdout
        log = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert [line for line in log if line["level"] in {"error", "critical"}] == []
