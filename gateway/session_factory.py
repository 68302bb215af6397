"""What a run's session is put together from: how its tasks are handed over, followed, and written down."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from common.configuration import SHARED, TesServer
from common.object_store import ObjectStores
from common.settings import GB
from common.step_resources import TIME
from gateway.adopted_outputs import AdoptedOutputs
from gateway.content_digests import ContentDigests, InputContents
from gateway.data_repository import DataRepositories
from gateway.delivered_files import DeliveredFiles
from gateway.download_room import DownloadLimits, DownloadRoom
from gateway.fetched_files import FetchedFiles, FetchedInFolder, FetchedObjects
from gateway.file_origins import FileOrigins
from gateway.followed_task import PollingPolicy
from gateway.open_task_limits import OpenTaskLimits
from gateway.outages import SHORTEST_OUTAGE, GatewayMetrics, Outages
from gateway.remote_inputs import FetchesOfRun, RemoteInputs
from gateway.remote_sources import RemoteSources
from gateway.run_files import FileTree
from gateway.run_objects import RunObjects
from gateway.session import RunScope, Session
from gateway.stored_copies import StoredCopies
from gateway.stored_files import StoredFiles, stored_files
from gateway.task_follower import TaskFollower
from gateway.task_poller import TaskPoller
from gateway.task_record import TaskRecord
from gateway.task_reuse import TaskReuse
from gateway.task_submission import TaskSubmission
from gateway.task_transfer import TaskTransfer
from gateway.tes_client import TesClient
from gateway.tes_servers import TesServers
from gateway.transfer_threads import TransferThreads
from gateway.translation import DataElsewhere, SharedFiles, TaskFiles
from tes.task import NETWORK
from wes_service.core.ports import Clock, TaskStore
from wes_service.settings import Settings

NO_DIGESTS = "Every step runs, as what steps read and leave is not noted here (WES_STEP_DIGESTS)."


@dataclass(frozen=True, kw_only=True)
class SessionFactory:
    """Makes the sessions of one gateway, whose `name` all its tasks carry as a tag."""

    name: str
    settings: Settings
    store: TaskStore
    clock: Clock
    servers: TesServers
    pollers: Mapping[str, TaskPoller]
    metrics: GatewayMetrics
    object_stores: ObjectStores
    transfers: TransferThreads
    sources: RemoteSources
    fetches: TransferThreads
    """For what comes from servers of others, which may be slow."""
    limits: OpenTaskLimits
    digests: ContentDigests = field(default_factory=ContentDigests)

    def session(self, scope: RunScope, note: Callable[[str], None]) -> Session:
        """A session with a fresh secret; `note` takes lines for the run's system log."""
        settings, polling = self.settings, polling_policy(self.settings)
        outages = Outages(scope.lease.run_id, note, min(SHORTEST_OUTAGE, settings.tes_patience_seconds / 4))
        record = TaskRecord(
            store=self.store,
            lease=scope.lease,
            servers=self.servers,
            outages=outages,
            count_state=self.metrics.count_state,
            now=self.clock.now,
        )
        if not (scope.reuse.is_empty or settings.step_digests):
            note(NO_DIGESTS)
        for line in scope.rules.described():
            note(line)
        room = DownloadRoom(limits=_download_limits(settings), folder=scope.folder.root)
        files = FileTree(root=scope.root, identity=scope.identity)
        origins = self._origins(scope, files, room)
        transfer = TaskTransfer(files=self._files(scope, files, room, origins), outages=outages)
        submission = TaskSubmission(
            servers=self.servers,
            choice=scope.tes,
            polling=polling,
            record=record,
            transfer=transfer,
            limits=self.limits,
            owner=scope.owner,
            note=note,
        )
        follower = TaskFollower(
            submission=submission,
            record=record,
            transfer=transfer,
            reuse=self._reuse(scope, files, origins),
            polling=polling,
            poller=lambda client: self.pollers[client.name],
            note=note,
            time_limit=scope.rules.limits.get(TIME),
        )
        gpu = ["gpu"] if any(server.max_gpu for server in settings.tes_servers) else []
        return Session(
            scope=scope,
            store=self.store,
            follower=follower,
            gateway=self.name,
            storages=settings.storages,
            fetch_file=None if origins is None else partial(self.transfers.run, origins.fetch),
            backend_parameters=frozenset([*settings.tes_backend_parameters, *gpu, NETWORK]),
        )

    def _reuse(self, scope: RunScope, files: FileTree, origins: FileOrigins | None) -> TaskReuse:
        copies = None
        if origins is not None:
            storages, run_id = self.settings.storages, scope.lease.run_id
            copies = StoredCopies(run_id=run_id, stores=self.object_stores, storages=storages, origins=origins)
        return TaskReuse(
            owner=scope.owner,
            scope=scope.reuse,
            store=self.store,
            contents=InputContents(files=files, digests=self.digests, origins=origins),
            delivered=DeliveredFiles(files=files, digests=self.digests, origins=origins),
            outputs=AdoptedOutputs(
                files=files,
                digests=self.digests,
                free_bytes=_download_limits(self.settings).free_bytes,
                stored=copies,
            ),
            threads=self.transfers,
            is_on=self.settings.step_digests,
        )

    def _origins(self, scope: RunScope, files: FileTree, room: DownloadRoom) -> FileOrigins | None:
        """None where no TES has a storage."""
        objects = [RunObjects(storage=one, run_id=scope.lease.run_id) for one in self.settings.storages]
        if not objects:
            return None
        return FileOrigins(
            files=files,
            stores=self.object_stores,
            folders=frozenset(one.folder for one in objects),
            room=room,
        )

    def _files(
        self, scope: RunScope, tree: FileTree, room: DownloadRoom, origins: FileOrigins | None
    ) -> Callable[[TesClient], TaskFiles]:
        """How each TES gets the files of a run; those that have one storage share what is in it."""
        fetch = None if origins is None else origins.fetch
        shared = SharedFiles(root=scope.root, identity=scope.identity, fetch_withheld=fetch)
        stored = {} if origins is None else self._by_storage(scope, origins)
        fetched: dict[str, FetchedFiles] = {SHARED: FetchedInFolder(files=tree, room=room)}
        for storage, one in stored.items():
            fetched[storage] = FetchedObjects(stores=self.object_stores, objects=one.objects, room=room)
        fetches = {
            storage: FetchesOfRun(run_id=scope.lease.run_id, sources=self.sources, files=each)
            for storage, each in fetched.items()
        }
        files: dict[str, TaskFiles] = {}
        for server in self.settings.tes_servers:
            found = shared if server.storage == SHARED else stored[server.storage]
            remote = self._remote_inputs(server, fetches[server.storage])
            files[server.name] = replace(found, data=DataElsewhere(urls=server.data), remote=remote)
        return lambda client: files[client.name]

    def _remote_inputs(self, server: TesServer, fetches: FetchesOfRun) -> RemoteInputs:
        return RemoteInputs(
            server=server,
            sources=self.sources,
            repositories=DataRepositories(web=self.sources.web),
            storages=self.settings.storages,
            fetches=fetches,
            threads=self.fetches,
        )

    def _by_storage(self, scope: RunScope, origins: FileOrigins) -> dict[str, StoredFiles]:
        return {
            storage: stored_files(
                objects=RunObjects(storage=storage, run_id=scope.lease.run_id),
                origins=origins,
                threads=self.transfers,
            )
            for storage in self.settings.storages
        }


def polling_policy(settings: Settings) -> PollingPolicy:
    """As the operator has set it."""
    return PollingPolicy(
        longest=settings.poll_seconds,
        patience=settings.tes_patience_seconds,
        forgotten=settings.tes_forgotten_seconds,
        resend=min(1.0, settings.poll_seconds),
        submissions=settings.tes_resubmissions + 1,
    )


def _download_limits(settings: Settings) -> DownloadLimits:
    return DownloadLimits(
        files=settings.max_output_files,
        run_bytes=None if settings.run_disk_gb is None else round(settings.run_disk_gb * GB),
        free_bytes=round(settings.min_free_gb * GB / 2),
    )
