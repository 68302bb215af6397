"""What a load balancer and Prometheus see of a whole stack."""

import signal
import time

from tests.acceptance.conftest import StartWes
from tests.acceptance.workflows import ECHO, form, parts
from tests.http_client import http
from tests.waiting import until
from wes_cli.private_server import free_port


def test_a_stack_says_whether_each_of_its_parts_is_there_and_gives_its_numbers(start_wes: StartWes) -> None:
    metrics_port = free_port()
    wes = start_wes(environment={"WES_METRICS_PORT": str(metrics_port)})
    root = f"http://127.0.0.1:{wes.port}"
    ready = http.get(f"{root}/readyz")
    assert ready.status_code == 200, ready.text
    parts_ = ready.json()["parts"]
    (tes,) = (name for name in parts_ if name.startswith("tes http"))
    assert set(parts_) == {"database", "redis", "workers", tes}

    run_id = wes.submit(form(workflow_params='{"word": "hello"}'), parts(ECHO))
    assert wes.wait(run_id)["state"] == "COMPLETE"
    api = http.get(f"{root}/metrics").text
    assert 'wes_runs{state="COMPLETE"} 1.0' in api
    assert 'wes_http_requests_total{method="POST",operation="RunWorkflow",status="200"} 1.0' in api
    worker = http.get(f"http://127.0.0.1:{metrics_port}/metrics").text
    assert f'wes_task_moves_total{{state="COMPLETE",tes="{tes.removeprefix("tes ")}"}} 1.0' in worker
    assert "wes_worker_slots_used 0.0" in worker

    embedded = wes.child("tes")
    redis = next(p for p in wes.tree() if "redis" in p.name() or "valkey" in p.name())
    try:
        embedded.send_signal(signal.SIGSTOP)
        time.sleep(1.1)
        without_tes = http.get(f"{root}/readyz")
        assert (without_tes.status_code, without_tes.json()["parts"]["redis"]) == (200, "ok")
        assert "no answer" in without_tes.json()["parts"][tes]
        redis.send_signal(signal.SIGSTOP)
        time.sleep(1.1)
        refused = http.get(f"{root}/readyz")
        assert (refused.status_code, refused.json()["parts"]["database"]) == (503, "ok")
        assert "no answer" in refused.json()["parts"][tes]
        assert "no answer" in refused.json()["parts"]["redis"]
        assert http.get(f"{root}/healthz").text == "ok\n"
    finally:
        for process in (embedded, redis):
            process.send_signal(signal.SIGCONT)
    until(lambda: http.get(f"{root}/readyz").status_code == 200, wes.said)
