"""Reads the workflow and its inputs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cwltool.context import LoadingContext
from cwltool.load_tool import (
    fetch_document,
    jobloaderctx,
    make_tool,
    resolve_and_validate_document,
    resolve_overrides,
)
from cwltool.process import add_sizes, shortname
from cwltool.utils import (
    adjustDirObjs,
    normalizeFilesDirs,
    path_to_loc,
    trim_listing,
    visit_files,
    visit_files_directories,
)
from schema_salad.exceptions import ValidationException
from schema_salad.fetcher import DefaultFetcher
from schema_salad.ref_resolver import Loader, file_uri, uri_file_path
from schema_salad.sourceline import cmap
from schema_salad.utils import yaml_no_ts

from engines.cwl.executor.extensions import OVERRIDES
from engines.cwl.executor.files import FileAccess
from engines.cwl.executor.schemas import use_cache
from engines.cwl.executor.settings import CwlSettings
from engines.kit.network import UnreadableUrl, has_network, is_on_web, read_document

OVERRIDE_NAMES = ("cwltool:overrides", OVERRIDES)


class DocumentFetcher(DefaultFetcher):
    """Documents among the attachments, and those on the web where the engine has a network: each is read once."""

    def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:
        if url in self.cache or not is_on_web(url):
            return super().fetch_text(url, content_types)
        try:
            text = read_document(url)
        except UnreadableUrl as error:
            raise ValidationException(
                f"the workflow refers to {url}, which can't be fetched: {error}; attach the file and refer to that"
            ) from None
        self.cache[url] = text
        return text

    def check_exists(self, url: str) -> bool:
        if url in self.cache or not is_on_web(url):
            return url in self.cache or super().check_exists(url)
        if not has_network():
            return False
        # Says why it can't be had, where cwltool would say that the reference is undefined.
        self.fetch_text(url)
        return True


def load_process(settings: CwlSettings, construct: Callable[..., Any]) -> Any:
    """The workflow or tool, checked; raises cwltool's own exceptions."""
    use_cache()
    context = LoadingContext(
        {
            "construct_tool_object": construct,
            "fetcher_constructor": DocumentFetcher,
            "disable_js_validation": True,
            # Every name is quoted on its way to the task, so that any will do.
            "relax_path_checks": True,
        }
    )
    context.overrides_list.extend(_overrides(settings))
    uri = file_uri(str(settings.workflow)) + (f"#{settings.fragment}" if settings.fragment else "")
    context, document, uri = fetch_document(uri, context)
    if isinstance(document, dict) and document.get("cwlVersion") == "v1.0":
        _name_inline_tools(document)
    context, uri = resolve_and_validate_document(context, document, uri)
    return make_tool(uri, context)


def _overrides(settings: CwlSettings) -> list[Any]:
    """Of requirements, which the params may hold beside the inputs (cwltool's `cwltool:overrides`)."""
    given = next((settings.params[name] for name in OVERRIDE_NAMES if name in settings.params), None)
    if given is None:
        return []
    base = file_uri(str(settings.attachments)) + "/"
    overrides: list[Any] = resolve_overrides(cmap({OVERRIDES: given}, fn=base), base, file_uri(str(settings.workflow)))
    return overrides


def _name_inline_tools(document: Any) -> None:
    """cwltool gives tools inside a v1.0 workflow a random id, and names of output files depend on it."""
    if isinstance(document, dict):
        run = document.get("run")
        if isinstance(run, dict) and "id" not in run and "$import" not in run and "class" in run:
            run["id"] = "_run"
    if isinstance(document, dict | list):
        for value in document.values() if isinstance(document, dict) else document:
            _name_inline_tools(value)


def load_inputs(settings: CwlSettings, process: Any) -> Any:
    """The input object: relative files are those of the attachments, missing ones raise `ValidationException`."""
    loader = Loader(jobloaderctx.copy(), fetcher_constructor=DocumentFetcher)
    base = file_uri(str(settings.attachments)) + "/"
    params = {name: value for name, value in settings.params.items() if name not in OVERRIDE_NAMES}
    inputs, _ = loader.resolve_all(cmap(_exact(params), fn=base), base, checklinks=False)
    _fill_defaults(inputs, process)
    spaces = Loader({**(inputs.pop("$namespaces", None) or {}), **(process.metadata.get("$namespaces") or {})})
    visit_files_directories(inputs, path_to_loc)
    visit_files(inputs, lambda item: add_sizes(FileAccess(""), item))
    visit_files(inputs, lambda item: _expand_format(spaces, item))
    adjustDirObjs(inputs, trim_listing)
    normalizeFilesDirs(inputs)
    inputs.pop("cwl:tool", None)
    inputs.pop("id", None)
    for name, value in inputs.items():
        visit_files_directories(value, lambda item, name=name: _check_attached(name, item))
    return inputs


def _exact(value: Any) -> Any:
    """Floats as cwltool's own reader has them: it writes those, and only those, without an exponent."""
    if isinstance(value, float):
        return yaml_no_ts().load(repr(value))
    if isinstance(value, Mapping):
        return {name: _exact(item) for name, item in value.items()}
    return [_exact(item) for item in value] if isinstance(value, list) else value


def _fill_defaults(inputs: Any, process: Any) -> None:
    for parameter in process.tool["inputs"]:
        if "default" in parameter:
            inputs.setdefault(shortname(parameter["id"]), parameter["default"])


def _expand_format(loader: Loader, item: Any) -> None:
    if "format" in item:
        item["format"] = loader.expand_url(item["format"], "")


def _check_attached(parameter: str, item: Any) -> None:
    """A sentence for the most frequent mistake."""
    location = str(item.get("location", ""))
    if not location.startswith("file://"):
        return
    path = Path(uri_file_path(location))
    kind = item["class"]
    if not (path.is_dir() if kind == "Directory" else path.is_file()):
        raise ValidationException(
            f"the input '{parameter}' names the {kind.lower()} {path}, which is not there; attach it to the run, or "
            "name one in a folder that the server lets workflows read"
        )
