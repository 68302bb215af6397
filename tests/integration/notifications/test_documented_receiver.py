"""The receiver of docs/notifications.md takes what this service sends, and nothing else."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from common.hooks import HookSettings, new_hook_secret
from tests.contract.store.stores import ANN, claimed, lease_of
from tests.fakes.notifications import delivery_of
from tests.fakes.stores import FakeStores
from tests.waiting import until
from wes_service.core.notification import NotificationState
from wes_service.core.run import RunState

PAGE = Path(__file__).parents[3] / "docs" / "notifications.md"
PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[HookSettings]:
    """The receiver, as a program; what it prints is in the file `printed`."""
    secret = tmp_path / "secret"
    secret.write_text(new_hook_secret())
    secret.chmod(0o600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (program,) = PROGRAM.findall(PAGE.read_text())
    environment = {**os.environ, "HOOK_SECRET": secret.read_text(), "PORT": str(port)}
    with (tmp_path / "printed").open("w") as out:
        receiver = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=out)
    until(lambda: _listens(port))
    yield HookSettings(url=f"http://127.0.0.1:{port}/", secret_file=secret)
    receiver.kill()
    receiver.wait()


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def test_it_tells_which_run_has_ended_and_how(hook: HookSettings, tmp_path: Path) -> None:
    stores = FakeStores()
    run = claimed(stores)
    stores.runs.move(lease_of(run), RunState.SYSTEM_ERROR)
    delivery_of(stores.notifications, {"lims": hook}, stores.clock, seconds=10).deliver()
    (told,) = stores.notifications.page(ANN, 9, None, None, None).items
    assert told.state is NotificationState.DELIVERED
    assert (tmp_path / "printed").read_text() == f"{run.id} SYSTEM_ERROR\n"


def test_it_refuses_what_is_signed_by_nobody(hook: HookSettings) -> None:
    assert httpx.post(hook.url, json={"subject": "run"}, trust_env=False).status_code == 401
