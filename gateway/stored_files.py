"""The files of tasks on a TES that shares no folder with this machine: by way of a store (docs/decisions/0016)."""

import contextlib
import re
from dataclasses import dataclass, field

import structlog

from common.errors import ObjectStoreFailure
from common.location import RemoteLocation
from common.masking import masked_text
from common.object_store import ObjectStores
from common.run_root import FileInRun, RunRoot
from gateway.content_uploads import ContentUploads
from gateway.file_origins import FileOrigins
from gateway.output_downloads import OutputDownloads
from gateway.policy import as_submission
from gateway.run_files import FileTree, FolderFile
from gateway.run_objects import RunObjects, url_below
from gateway.transfer_threads import TransferThreads
from gateway.translation import DataElsewhere, ReadableInputs
from tes.task import TAG_OUTPUTS, FileType, Task, TaskState, TesInput, TesOutput, TesOutputFileLog, TesTask, TesTaskLog

log = structlog.get_logger(__name__)

DECLARED = "declared"
"""Value of the tag `wes.outputs` of a task that, where a store takes its folder, leaves there only what is declared."""
BY_STORE = {"WES_FILES": "store"}
"""How such a task knows, among its executors' variables."""


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """An input as it goes to the TES, and the file of the run that is to be in the store for it, if any."""

    item: TesInput
    location: FileInRun | None = None


@dataclass(frozen=True, kw_only=True)
class StoredFiles:
    """As `TaskFiles`. Files are moved in `threads`, which all runs share."""

    root: RunRoot
    stores: ObjectStores
    objects: RunObjects
    files: FileTree
    uploads: ContentUploads
    downloads: OutputDownloads
    threads: TransferThreads
    data: DataElsewhere = field(default_factory=DataElsewhere)
    remote: ReadableInputs | None = None

    async def for_tes(self, task: Task) -> TesTask:
        before, body = self.uploads.sent, as_submission(task.body, task.submission)
        named = body.get("inputs") or []
        readable = named if self.remote is None else await self.remote.readable(named)
        files = [each for some in await self.threads.run_all(self._files_of, readable) for each in some]
        inputs = await self.threads.run_all(self._input, files)
        outputs = [self._output(task, number, item) for number, item in enumerate(body.get("outputs") or [])]
        sent = self.uploads.sent - before
        if sent:
            log.info("files sent to the store", action="upload", run_id=task.run_id, task_id=task.id, bytes=sent)
        return {**_told_of_store(body), "inputs": inputs, "outputs": outputs}

    def keeps_submissions_apart(self, task: Task) -> bool:
        named = [self.root.parse(item["url"]) for item in task.body.get("outputs") or []]
        return not any(isinstance(location, RemoteLocation) for location in named)

    async def fetch(self, task: Task) -> None:
        if task.state is TaskState.CANCELED:
            # What can't be removed now goes with the run.
            with contextlib.suppress(ObjectStoreFailure):
                await self.threads.run(self.stores.delete_below, self.objects.outputs(task.id, task.submission))
            return
        planned = await self.threads.run(self.downloads.plan, task)
        await self.threads.run(self.downloads.make_folders, task)
        size = sum(one.origin.stored.size for one in planned)
        withheld = sum(one.origin.stored.size for one in planned if one.withheld)
        with self.downloads.origins.room.taken(size - withheld):
            await self.threads.run_all(self.downloads.deliver, planned)
        log.info(
            "outputs fetched",
            action="download",
            run_id=task.run_id,
            task_id=task.id,
            files=len(planned),
            bytes=size - withheld,
            withheld=withheld,
        )

    def for_engine(self, task: Task, document: TesTask) -> TesTask:
        shown = document.copy()
        # The task's own are what the engine named.
        shown.pop("inputs", None)
        shown.pop("outputs", None)
        if logs := document.get("logs"):
            shown["logs"] = [self._log_for_engine(task, one) for one in logs]
        return shown

    def sentence_for_engine(self, task: Task, text: str) -> str:
        named = re.compile(rf"{re.escape(self.objects.outputs(task.id, task.submission))}/\d{{6}}")
        return named.sub(lambda match: self._url_for_engine(task, match[0]), masked_text(text))

    def _files_of(self, item: TesInput) -> list[InputFile]:
        """A folder is all the files in it, as not every server can list a store, and each content is sent once."""
        url = item.get("url")
        location = self.root.parse(url) if url else None
        if location is None and not item.get("content"):
            return [InputFile(item=self._empty_file(item["path"]))]
        if location is None or isinstance(location, RemoteLocation):
            return [InputFile(item=item)]
        elsewhere = self.data.url_of(location)
        if elsewhere is not None:
            return [InputFile(item={**item, "url": elsewhere})]
        if not self.files.is_folder(location):
            return [InputFile(item=item, location=location)]
        return [self._file_of_folder(item["path"].rstrip("/"), one) for one in self.files.files_in(location)]

    def _file_of_folder(self, folder: str, file: FolderFile) -> InputFile:
        path = f"{folder}/{file.path}"
        if file.location is None:
            return InputFile(item=self._empty_file(path))
        return InputFile(item={"path": path, "type": FileType.FILE.value}, location=file.location)

    def _empty_file(self, path: str) -> TesInput:
        """By a URL: Funnel takes an empty `content` for none."""
        return {"path": path, "type": FileType.FILE.value, "url": self.uploads.url_of_nothing()}

    def _input(self, file: InputFile) -> TesInput:
        return file.item if file.location is None else {**file.item, "url": self.uploads.url_of(file.location)}

    def _output(self, task: Task, number: int, item: TesOutput) -> TesOutput:
        if isinstance(self.root.parse(item["url"]), RemoteLocation):
            return item
        return {**item, "url": self.objects.output(task.id, task.submission, number)}

    def _log_for_engine(self, task: Task, entry: TesTaskLog) -> TesTaskLog:
        shown = entry.copy()
        if lines := entry.get("system_logs"):
            shown["system_logs"] = [self.sentence_for_engine(task, line) for line in lines]
        if outputs := entry.get("outputs"):
            delivered: list[TesOutputFileLog] = [
                {**one, "url": self._url_for_engine(task, one["url"])} for one in outputs
            ]
            shown["outputs"] = delivered
        return shown

    def _url_for_engine(self, task: Task, url: str) -> str:
        found = self.objects.stored_output(task.id, task.submission, url)
        outputs = task.body.get("outputs") or []
        return url if found is None or found.number >= len(outputs) else url_below(outputs[found.number], found.path)


def _told_of_store(task: TesTask) -> TesTask:
    if (task.get("tags") or {}).get(TAG_OUTPUTS) != DECLARED:
        return task
    executors = [executor.copy() for executor in task["executors"]]
    for executor in executors:
        executor["env"] = {**(executor.get("env") or {}), **BY_STORE}
    return {**task, "executors": executors}


def stored_files(*, objects: RunObjects, origins: FileOrigins, threads: TransferThreads) -> StoredFiles:
    """Those of one run in one store."""
    root, stores = origins.files.root, origins.stores
    return StoredFiles(
        root=root,
        stores=stores,
        objects=objects,
        files=origins.files,
        uploads=ContentUploads(stores=stores, objects=objects, origins=origins),
        downloads=OutputDownloads(root=root, stores=stores, objects=objects, origins=origins),
        threads=threads,
    )
