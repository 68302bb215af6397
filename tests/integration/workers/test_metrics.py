"""A worker's numbers, over HTTP, of a real gateway in front of a TES."""

import contextlib
import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from common.errors import SettingsError
from gateway.outages import GatewayMetrics
from tests.integration.workers.conftest import Rig
from wes_cli.private_server import free_port
from workers.metrics import WorkerMetrics, serve_metrics


@dataclass(frozen=True, kw_only=True)
class TwoOfThree:
    slots: int = 3
    used: int = 2
    draining: bool = True
    full: bool = True


@contextlib.contextmanager
def served(rig: Rig) -> Iterator[str]:
    port = free_port()
    numbers = WorkerMetrics(TwoOfThree(), rig.gateway.open_tasks)
    stop = serve_metrics(rig.gateway.metrics, numbers, "127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        stop()


def samples(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url) as answer:
        lines = answer.read().decode().splitlines()
    parts = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in parts}


def test_slots_tasks_and_requests_are_counted_by_tes(rig: Rig) -> None:
    with served(rig) as url:
        rig.tes.script = ["RUNNING"]
        task = rig.post()
        assert sum(number for name, number in samples(url).items() if name.startswith("wes_tasks_open")) == 1
        rig.tes.script = ["COMPLETE"]
        rig.wait(task)
        found = samples(url)
    tes = rig.tes.url
    assert (found["wes_worker_slots"], found["wes_worker_slots_used"]) == (3, 2)
    assert (found["wes_worker_draining"], found["wes_worker_disk_full"]) == (1, 1)
    assert not any(name.startswith("wes_tasks_open{") for name in found)
    assert found[f'wes_task_moves_total{{state="COMPLETE",tes="{tes}"}}'] == 1
    assert found[f'wes_tes_requests_total{{outcome="ok",request="create",tes="{tes}"}}'] == 1
    assert found[f'wes_tes_requests_total{{outcome="ok",request="get",tes="{tes}"}}'] >= 1
    assert "process_resident_memory_bytes" in found
    assert rig.scope.lease.run_id not in str(found)


def test_a_tes_that_fails_is_seen_in_the_numbers(rig: Rig) -> None:
    rig.tes.create = [503, 503, None]
    rig.wait(rig.post())
    registry = rig.gateway.metrics.registry
    tes = rig.tes.url
    labels = {"tes": tes, "request": "create"}
    assert registry.get_sample_value("wes_tes_requests_total", {**labels, "outcome": "unreachable"}) == 2
    assert registry.get_sample_value("wes_tes_requests_total", {**labels, "outcome": "ok"}) == 1


def test_a_port_that_is_taken_is_told_by_the_settings_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"{port}.*WES_METRICS_PORT"):
            serve_metrics(GatewayMetrics(), WorkerMetrics(TwoOfThree(), dict), "127.0.0.1", port)
