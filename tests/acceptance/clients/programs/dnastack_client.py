"""dnastack-client-library as its users write it. Prints a JSON document of what it saw.

dnastack_client.py BASE-URL WORKFLOW [logs]
"""

import json
import sys
import time

from dnastack.alpha.client.wes.client import RunRequest, WesClient
from dnastack.client.models import ServiceEndpoint

ENDED = {"COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"}
url, workflow, *more = sys.argv[1:]
client = WesClient(ServiceEndpoint(url=url))


def submit(params):
    return client.submit(
        RunRequest(
            workflow_url="main.cwl",
            workflow_type="CWL",
            workflow_type_version="v1.2",
            workflow_params=params,
            tags={"sample": "A1"},
            attachments=[workflow],
        )
    )


def until(run, states):
    while (state := run.status) not in states:
        time.sleep(0.1)
    return state


run_id = submit({"word": "hello", "seconds": 0})
run = client.run(run_id)
seen = {
    "type": client.get_service_info()["type"],
    "state": until(run, ENDED),
    "listed": run_id in [each.run_id for each in client.get_runs(page_size=1)],
}
if "logs" in more:
    info = run.info()
    seen |= {
        "id": run.id,
        "outputs": info.outputs,
        "tags": info.request.tags,
        "steps": [log.name for log in info.task_logs],
        "stdout": [log.stdout for log in run.get_logs(include_stderr=True)],
    }
sleeping = client.run(submit({"word": "late", "seconds": 600}))
until(sleeping, {"RUNNING"})
sleeping.cancel()
seen["canceled"] = until(sleeping, ENDED)
print(json.dumps(seen))
