"""`python -m tests.acceptance.conformance SUITE`: runs a suite of CWL conformance tests through one `wes up`.

SUITE is a checkout of the CWL tests (any version), or one file in their format. `cwltest` compares, `wes-cwl-runner`
runs. cwltest is a tool of development like pytest, from a lock file, and runs as the user that started it: a server
without a token serves nobody else. The steps of the tests run in the sandbox.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.acceptance.clients.environments import installed
from tests.acceptance.conformance.results import summary
from tests.acceptance.stack import Wes
from tests.engine_fixtures import engines_folder, install_for_tests

RUNNER = Path(sys.executable).with_name("wes-cwl-runner")
NAMES = ("conformance_tests.yaml", "conformance_test_v1.0.yaml", "v1.0/conformance_test_v1.0.yaml")
LOCK = "cwltest-2.7"
LISTS = "lists"


def main(argv: Sequence[str]) -> int:
    """1 where a test failed."""
    parser = argparse.ArgumentParser(prog="make conformance CWL_TESTS=SUITE", allow_abbrev=False)
    parser.add_argument("suite", type=Path, help="checkout of the CWL tests, or one file of tests")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1, help="tests at the same time")
    parser.add_argument("--server", help="a WES that runs already (default: a 'wes up' of this checkout)")
    parser.add_argument(
        "--runner",
        default="bubblewrap",
        choices=("bubblewrap", "docker", "podman", "auto"),
        help="what runs the tools: bubblewrap (the default) takes this machine's programs for those of the images, the "
        "others fetch the images",
    )
    parser.add_argument("--timeout", type=int, default=600, help="seconds for each test")
    parser.epilog = "What follows -- is for cwltest, e.g. -- --tags required"
    own, more = split(argv)
    arguments = parser.parse_args(own)
    suite = suite_file(arguments.suite)
    if suite is None:
        parser.error(f"{arguments.suite} holds none of {', '.join(NAMES)}: name a checkout of the CWL tests")
    options = [f"-j{arguments.jobs}", f"--timeout={arguments.timeout}", *more]
    folder = Path(tempfile.mkdtemp(prefix="wes-conformance-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        _run(suite, folder, arguments, options)
        text, all_passed = summary(folder / LISTS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(text)
    return 0 if all_passed else 1


def split(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What is before the first `--`, and what is after it."""
    index = argv.index("--") if "--" in argv else len(argv)
    return argv[:index], argv[index + 1 :]


def suite_file(suite: Path) -> Path | None:
    """The file of tests that a checkout holds."""
    if suite.is_file():
        return suite
    return next((suite / name for name in NAMES if (suite / name).is_file()), None)


def _run(suite: Path, folder: Path, arguments: argparse.Namespace, options: Sequence[str]) -> None:
    if arguments.server:
        _cwltest(suite, folder, arguments.server, options)
        return
    install_for_tests("cwl")
    wes = Wes(data=folder / "data", engines=engines_folder(), environment={"TES_RUNNER": arguments.runner}).start()
    try:
        _cwltest(suite, folder, wes.url, options)
    finally:
        wes.stop()


def _cwltest(suite: Path, folder: Path, server: str, options: Sequence[str]) -> None:
    """cwltest's own words go to the terminal; the lists that it writes are read."""
    lists, scratch = folder / LISTS, folder / "outputs"
    scratch.mkdir()
    argv: list[str | Path] = [
        installed(LOCK) / "bin" / "cwltest",
        f"--tool={RUNNER}",
        f"--test={suite.resolve()}",
        *options,
    ]
    # cwltest makes a folder for the outputs of each test and leaves it.
    environment = {**os.environ, "TMPDIR": str(scratch)}
    ended = subprocess.run(
        [*argv, f"--badgedir={lists}", "--", f"--server={server}", "--allow-outside"],
        cwd=suite.resolve().parent,
        env=environment,
        check=False,
    )
    if not lists.exists():
        raise SystemExit(f"cwltest ended with exit code {ended.returncode} and without a report")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
