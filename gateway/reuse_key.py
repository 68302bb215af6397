"""The key of the work that a task does: the same for the same work on the same contents, in any run."""

import hashlib
import json
from collections.abc import Callable

from common.json_types import Json
from common.location import RemoteLocation
from common.run_root import FileInRun, RunLocation, RunRoot
from tes.task import FileType, TesInput, TesOutput, TesTask

ContentOf = Callable[[FileInRun], Json]


def reuse_key(task: TesTask, root: RunRoot, content_of: ContentOf) -> str | None:
    """Made of all that decides what the task makes: images, commands and environments, which contents it finds where,
    and what is taken of what it leaves. Not of its name, and not of what it may use.

    None for a task whose outputs can't be told from others': they go to a URL, their names follow from a pattern, or
    they are several folders, of which one may be other tasks' too (Nextflow's storeDir).
    """
    outputs = task.get("outputs") or []
    folders = sum(output.get("type") == FileType.DIRECTORY for output in outputs)
    if folders > 1 or not all(_is_kept(output, root) for output in outputs):
        return None
    work = {
        "executors": [dict(executor) for executor in task["executors"]],
        "inputs": sorted((_input(item, root, content_of) for item in task.get("inputs") or []), key=json.dumps),
        "outputs": [[output["path"], output.get("type")] for output in outputs],
    }
    return hashlib.sha256(json.dumps(work, sort_keys=True, default=dict).encode()).hexdigest()


def _is_kept(output: TesOutput, root: RunRoot) -> bool:
    return isinstance(root.parse(output["url"]), RunLocation) and not output.get("path_prefix")


def _input(item: TesInput, root: RunRoot, content_of: ContentOf) -> list[Json]:
    """A remote file counts by its URL: what is behind it is for its TES to read."""
    url = item.get("url")
    if not url:
        content: Json = hashlib.sha256((item.get("content") or "").encode(errors="surrogatepass")).hexdigest()
        return [item["path"], "text", content]
    location = root.parse(url)
    if isinstance(location, RemoteLocation):
        return [item["path"], "url", location.url]
    return [item["path"], item.get("type"), content_of(location)]
