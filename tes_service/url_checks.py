"""Which URLs of a task can work on this server: said at POST /tasks, so that none waits and fails for it later."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from common.errors import InvalidField, InvalidLocation
from common.location import STORES, WEB, FileLocation, Location, RemoteLocation, parse_location
from common.object_store import ObjectStores, split_url
from tes_service.folder_access import FolderAccess, OutsideFault
from tes_service.task_request import OutputRequest, TaskRequest, is_directory

FETCHED = WEB | {"ftp"}
"""Schemes that inputs are fetched from as they are."""


@dataclass(frozen=True, kw_only=True)
class UrlChecks:
    """`access`: the folders that the task may use; `stores`: the object stores that this server reaches."""

    access: FolderAccess
    stores: ObjectStores

    def check(self, request: TaskRequest) -> None:
        """`InvalidField` for what could never work: other kinds of storage, files outside of the allowed folders."""
        for index, one in enumerate(request.inputs):
            if url := one.get("url"):
                self._input(f"inputs[{index}]", url, is_folder=is_directory(one))
        for index, output in enumerate(request.outputs):
            self._output(f"outputs[{index}]", output)

    def _input(self, field: str, url: str, *, is_folder: bool) -> None:
        location = _location(f"{field}.url", url, FETCHED | STORES)
        self._check(f"{field}.url", location, write=False, is_folder=is_folder)
        if isinstance(location, RemoteLocation) and location.scheme in FETCHED and is_folder:
            raise InvalidField(f"{field}.type", f"a DIRECTORY can't be fetched over {location.scheme}")

    def _output(self, field: str, output: OutputRequest) -> None:
        location = _location(f"{field}.url", output.url, WEB | STORES)
        several = output.pattern or output.type == "DIRECTORY"
        self._check(f"{field}.url", location, write=True, is_folder=several)
        if isinstance(location, RemoteLocation) and location.scheme in WEB and several and urlsplit(location.url).query:
            raise InvalidField(f"{field}.url", "has a query, so it is the URL of one file; this output can be several")

    def _check(self, field: str, location: Location, *, write: bool, is_folder: bool) -> None:
        if isinstance(location, FileLocation):
            try:
                self.access.check(location.path, write=write)
            except OutsideFault as fault:
                raise InvalidField(field, str(fault)) from None
        elif location.scheme in STORES:
            self._check_object(field, location.url, is_folder=is_folder)

    def _check_object(self, field: str, url: str, *, is_folder: bool) -> None:
        try:
            address = split_url(url)
        except InvalidLocation as error:
            raise InvalidField(field, str(error)) from None
        if not is_folder and (not address.key or url.endswith("/")):
            raise InvalidField(field, "names a folder of an object store, but the type is FILE")
        if not self.stores.configured(url):
            problem = (
                f"no object store is configured here for {address.root}; who runs this server can add "
                f"[stores.{address.scheme}] to its configuration (wes tes --config FILE)"
            )
            raise InvalidField(field, problem)


def _location(field: str, url: str, remote: frozenset[str]) -> Location:
    try:
        location = parse_location(url)
    except InvalidLocation as error:
        raise InvalidField(field, str(error)) from None
    if not isinstance(location, FileLocation) and location.scheme not in remote:
        raise InvalidField(field, f"this storage is not supported: {location.scheme}")
    return location
