"""wes-service's client as a library, as its users write it. Prints a JSON document of what it saw.

wes_client_library.py HOST:PORT WORKFLOW PARAMS
"""

import json
import sys
import time

from wes_client.util import WESClient

ENDED = {"COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"}
host, workflow, params = sys.argv[1:]
client = WESClient({"auth": {}, "proto": "http", "host": host})


def until(run_id, states):
    while (state := client.get_run_status(run_id)["state"]) not in states:
        time.sleep(0.1)
    return state


run_id = client.run(workflow, params, attachments=[])["run_id"]
until(run_id, {"RUNNING"})
client.cancel(run_id)
print(json.dumps({"canceled": until(run_id, ENDED)}))
