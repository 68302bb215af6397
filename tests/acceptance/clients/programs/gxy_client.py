"""gxy-wes as a library, as its users write it. Prints a JSON document of what it saw.

gxy_client.py SERVER WORKFLOW
"""

import json
import sys
import time

from gxy_wes import WesClient
from gxy_wes.client import TERMINAL_STATES, WesError

server, workflow = sys.argv[1:]
client = WesClient(server)


def submit(params, **more):
    given = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "params": params}
    return client.submit_run(**given, workflow_path=workflow, workflow_url="main.cwl", **more)["run_id"]


def until(run_id, states):
    while (state := client.get_run_status(run_id)["state"]) not in states:
        time.sleep(0.1)
    return state


run_id = submit({"word": "hello", "seconds": 0}, engine_parameters={})
seen = {"type": client.service_info()["type"], "state": until(run_id, TERMINAL_STATES)}
pages = [client.list_runs(page_size=1)]
while pages[-1]["next_page_token"]:
    pages.append(client.list_runs(page_size=1, page_token=pages[-1]["next_page_token"]))
run = client.get_run(run_id)
(task,) = client.get_run_tasks(run_id)["task_logs"]
seen |= {
    "listed": run_id in [each["run_id"] for page in pages for each in page["runs"]],
    "outputs": run["outputs"],
    "task": client.get_run_task(run_id, task["id"]) == task,
    "stdout": client.session.get(task["stdout"]).text,
}
sleeping = submit({"word": "late", "seconds": 600})
until(sleeping, {"RUNNING"})
client.cancel_run(sleeping)
seen["canceled"] = until(sleeping, TERMINAL_STATES)
try:
    # Without a file it sends an urlencoded form.
    client.submit_run(workflow_type="CWL", workflow_type_version="v1.2", workflow_url="nothing.cwl")
except WesError as error:
    seen["refused"] = [error.status_code, str(error)]
print(json.dumps(seen))
