"""Gathers what one submission uploads: the workflow, the local files it and its params refer to, and what was added."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.attachment import safe_name
from common.json_types import Json, JsonObject
from common.location import file_url
from wes_cli.attached_files import attached_files
from wes_cli.attachment_names import attachment_names
from wes_cli.closure import WITH_SHEETS, Closure, check_inside, cwl_closure
from wes_cli.errors import InvalidArgument, MissingFile
from wes_cli.local_files import (
    absolute,
    files_of,
    is_file,
    is_folder,
    is_there,
    is_within,
    secondary_file,
    similar_name,
)
from wes_cli.params import NamedFiles, glob_location, is_sheet, replace_strings, sheet_files, text_files
from wes_cli.source_closure import source_closure
from wes_service.core.workflow import document_name
from wes_service.languages.documents import read_document
from wes_service.languages.references import (
    Reference,
    missing_inputs,
    references,
    unknown_inputs,
    with_locations,
    with_secondary_files,
)
from wes_service.languages.sources import LANGUAGES, language_of

NEXTFLOW_CONFIG = "nextflow.config"
ENTRIES = ("main.nf", "Snakefile", "workflow/Snakefile", "main.cwl", "main.wdl")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """`attachments` maps names to absolute paths; `params` name uploaded files by attachment name. `version` is what
    the workflow document says of its language's version, None where it says nothing. `engine_parameters` name what was
    attached for the engine itself. `reasons`: why each attachment belongs to it, by its name. `missing`: inputs that
    the workflow needs and that are not given, as far as its document tells."""

    workflow_url: str
    language: str | None
    version: str | None = None
    attachments: Mapping[str, Path] = field(default_factory=dict)
    params: JsonObject = field(default_factory=dict)
    engine_parameters: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BundleRequest:
    """What to submit: `workflow` is a path or URL, `in_place` folders that the server may read itself,
    `allow_outside` whether the workflow may name files outside of its folder, `params_known` whether the server has
    params already, so that none need be given, `may_lack` whether it is no error where one is missing."""

    workflow: str
    params: Path | None = None
    attach: Sequence[Path] = ()
    in_place: Sequence[Path] = ()
    language: str | None = None
    allow_outside: bool = False
    params_known: bool = False
    may_lack: bool = False


def build_bundle(request: BundleRequest) -> Bundle:
    """Reads the documents and finds the files; raises `MissingFile` and `InvalidArgument`."""
    params = _read_params(request.params)
    if is_remote(request.workflow):
        language = request.language or language_of(document_name(request.workflow))
        return _assemble(request, params, Closure(main=None, language=language), request.workflow)
    path, fragment = find_workflow(request.workflow)
    language = request.language or language_of(path.name) or _language_by_content(path)
    in_place = [absolute(folder) for folder in request.in_place]
    closure = cwl_closure(path, in_place, params) if language == "CWL" else source_closure(path, language)
    if closure.project and not request.allow_outside:
        check_inside(closure.referrers, closure.project, [path, *in_place, *map(absolute, request.attach)])
    return _assemble(request, params, closure, fragment)


def build_addition(request: BundleRequest) -> Bundle:
    """The same for a workflow that the server has: only what the params name, and what was attached."""
    closure = Closure(main=None, language=request.language)
    return _assemble(request, _read_params(request.params), closure, request.workflow)


def is_remote(workflow: str) -> bool:
    """Whether it is a URL that the server fetches (http, git, trs, drs, s3)."""
    scheme, colon, _ = workflow.partition("://")
    return bool(colon) and scheme.replace("+", "").isalnum() and scheme != "file"


def find_workflow(text: str) -> tuple[Path, str]:
    """The absolute path of a local workflow, and the `#part` of a packed document (or nothing)."""
    for name, fragment in ((text, ""), (text.rpartition("#")[0], "#" + text.rpartition("#")[2])):
        path = absolute(Path(name)) if name else None
        if path is not None and is_folder(path):
            path = next((path / entry for entry in ENTRIES if is_file(path / entry)), None)
            if path is None:
                raise InvalidArgument(f"{name} is a folder without {' or '.join(ENTRIES)}: name the workflow's file")
        if path is not None and is_file(path):
            return path, fragment
    raise MissingFile(text, "the command line", similar_name(absolute(Path(text))))


def _language_by_content(path: Path) -> str:
    if path.suffix.lower() in {".yml", ".yaml", ".json"}:
        document = read_document(path)
        if isinstance(document, Mapping) and "cwlVersion" in document:
            return "CWL"
    endings = ", ".join(ending for entry in LANGUAGES.values() for ending in entry.endings)
    raise InvalidArgument(f"the name of {path.name} does not tell its language (known: {endings}): say it with --type")


def _read_params(path: Path | None) -> dict[str, Json]:
    if path and not is_file(path):
        raise MissingFile(path, "--params", similar_name(absolute(path)))
    document = read_document(path) if path else None
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise InvalidArgument(f"{path} must hold an object that maps input names to values")
    return dict(document)


def _assemble(request: BundleRequest, params: dict[str, Json], closure: Closure, end: str) -> Bundle:
    in_place = [absolute(folder) for folder in request.in_place]
    is_complete = request.params is not None or not request.params_known
    inputs = _check_inputs(request, params, closure.inputs) if is_complete else _CheckedInputs()
    params = _with_secondary_files(request.params, params, closure)
    named = _named_files(request.params, params, closure)
    uploaded = [path for path in named.paths() if not is_within(path, in_place)]
    root = closure.root([absolute(path) for path in request.attach])
    data = [file for path in uploaded for file in files_of(path)]
    # A Directory keeps its own name: to the workflow it is the basename.
    whole = [*(glob.folder for glob in named.globs.values()), *(path.parent for path in uploaded if path.is_dir())]
    names = attachment_names(closure.referrers, data, root, whole)
    reasons = _reasons(closure, data, request.params)
    config = _added_config(request.attach, names, closure)
    attach = [path for path in request.attach if absolute(path) not in config]
    attached = attached_files(attach, {**names, **config}, root, closure.language)
    names = {**names, **config, **attached.names}
    sheets = _attachments_of_sheets(names, closure, in_place)
    names |= sheets.names
    reasons |= {path: f"named by {names[sheet]}" for path, sheet in sheets.sheets.items()}
    attachments = {safe_name(name): path for path, name in names.items()}
    return Bundle(
        workflow_url=names[closure.main] + end if closure.main else end,
        language=closure.language,
        version=closure.version,
        attachments=attachments,
        params=_rewritten(params, closure, _locations(named, names, in_place)),
        engine_parameters={"config": next(iter(config.values()))} if config else {},
        reasons={safe_name(name): reasons.get(path, "--attach") for path, name in names.items()},
        missing=inputs.missing,
        warnings=(
            *inputs.notes,
            *closure.warnings,
            *named.warnings,
            *attached.warnings,
            *sheets.warnings,
            *_empty_folders(uploaded),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _CheckedInputs:
    """`notes`: warnings about params that are no inputs."""

    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _check_inputs(request: BundleRequest, params: JsonObject, inputs: Mapping[str, Json]) -> _CheckedInputs:
    """`InvalidArgument` names all inputs that are missing, unless the request may lack some."""
    if not inputs or "$import" in inputs:
        return _CheckedInputs()
    params_file, unknown = request.params, unknown_inputs(inputs, params)
    notes = [
        f"{params_file} gives '{name}', which is no input of the workflow"
        + (f" (did you mean '{near}'?)" if near else "")
        for name, near in unknown.items()
    ]
    missing = missing_inputs(inputs, params)
    if missing and not request.may_lack:
        where = f"in {params_file}" if params_file else "with --params FILE"
        raise InvalidArgument("; ".join([f"the workflow needs {', '.join(missing)}, to be given {where}", *notes]))
    return _CheckedInputs(missing=tuple(missing), notes=tuple(notes))


def _reasons(closure: Closure, data: Sequence[Path], params_file: Path | None) -> dict[Path, str]:
    """Why each file belongs to the workflow, but for what was attached."""
    found = dict.fromkeys(data, f"named by {params_file.name}" if params_file else "")
    for path, referrer in closure.referrers.items():
        if path == closure.main:
            found[path] = "the workflow"
        elif closure.is_companion(path):
            found[path] = "the engine reads it"
        else:
            found[path] = f"named by {_shown(referrer, closure)}"
    return found


def _shown(path: Path, closure: Closure) -> str:
    folder = closure.project
    return path.relative_to(folder).as_posix() if folder and path.is_relative_to(folder) else str(path)


def _named_files(params_file: Path | None, params: JsonObject, closure: Closure) -> NamedFiles:
    """The paths as the params write them, each with the absolute path it means."""
    if params_file is None:
        return NamedFiles()
    folder = absolute(params_file).parent
    if closure.language != "CWL":
        folders = [folder, closure.project] if closure.project else [folder]
        return text_files(params, params_file, folders, globs=closure.language in WITH_SHEETS)
    found = [each for each in references(params) if each.kind in {"file", "directory"}]
    return NamedFiles(files={each.target: _existing(folder, each, params_file) for each in found})


def _locations(named: NamedFiles, names: Mapping[Path, str], in_place: Sequence[Path]) -> dict[str, str]:
    """What the params are to say in place of what they say."""
    found: dict[str, str] = {}
    for text, path in named.files.items():
        found[text] = file_url(path) if is_within(path, in_place) else safe_name(_location(path, names))
    for text, glob in named.globs.items():
        here = is_within(glob.folder, in_place)
        found[text] = str(glob.folder / glob.rest) if here else glob_location(glob, names)
    return found


@dataclass(frozen=True, kw_only=True)
class _SheetAttachments:
    names: Mapping[Path, str] = field(default_factory=dict)
    sheets: Mapping[Path, Path] = field(default_factory=dict)
    """For each of them the sheet that names it."""
    warnings: tuple[str, ...] = ()


def _attachments_of_sheets(names: Mapping[Path, str], closure: Closure, in_place: Sequence[Path]) -> _SheetAttachments:
    """What the sheets that a person uploads name, called as the sheet has it, since it is sent unchanged."""
    if closure.language not in WITH_SHEETS:
        return _SheetAttachments()
    added: dict[Path, str] = {}
    named_by: dict[Path, Path] = {}
    warnings: list[str] = []
    taken = set(names.values())
    for sheet in names:
        if sheet in closure.referrers or not is_sheet(sheet):
            continue
        found = sheet_files(sheet, [sheet.parent, closure.project or sheet.parent], in_place)
        warnings += found.warnings
        for path, folder in found.files.items():
            name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ""
            if path in names or path in added:
                continue
            if not name or name in taken:
                warnings.append(
                    f"{sheet} names {path}, which is not uploaded, as its name leaves the folder or is taken"
                )
                continue
            added[path], named_by[path] = name, sheet
            taken.add(name)
    return _SheetAttachments(names=added, sheets=named_by, warnings=tuple(warnings))


def _existing(folder: Path, reference: Reference, params_file: Path) -> Path:
    path = absolute(folder / reference.target)
    if not is_there(path):
        raise MissingFile(path, f"{params_file} at '{reference.place}'", similar_name(path))
    if path.is_dir() != (reference.kind == "directory"):
        raise InvalidArgument(f"{path} is not a {reference.kind}, as {params_file} says at '{reference.place}'")
    return path


def _with_secondary_files(params_file: Path | None, params: dict[str, Json], closure: Closure) -> dict[str, Json]:
    """The params in which files that an input wants by a pattern, and that lie beside its file, are named."""
    if params_file is None:
        return params
    folder = absolute(params_file).parent

    def beside(target: str, pattern: str) -> Json:
        path = absolute(folder / target)
        sibling = secondary_file(path, pattern)
        if sibling is None or not is_there(sibling):
            return None
        return {"class": "Directory" if is_folder(sibling) else "File", "path": str(sibling)}

    patterns_of = {name: patterns for name, patterns in closure.patterns.items() if name in params}
    return params | {name: with_secondary_files(params[name], patterns_of[name], beside) for name in patterns_of}


def _added_config(paths: Sequence[Path], names: Mapping[Path, str], closure: Closure) -> dict[Path, str]:
    """A Nextflow config that is attached beside a workflow's own is more config, not another one in its place."""
    configs = [path for path in map(absolute, paths) if path.name == NEXTFLOW_CONFIG and is_file(path)]
    remote = closure.project is None
    beside = closure.language == "NFL" and (remote or NEXTFLOW_CONFIG in names.values())
    return {path: f"added-config/{path.name}" for path in configs[-1:] if beside and path not in names}


def _location(path: Path, names: Mapping[Path, str]) -> str:
    """The attachment name of a file, or of a folder by the files in it."""
    if path in names:
        return names[path]
    file = next(files_of(path), None)
    if file is None:
        return path.name
    return names[file].removesuffix(file.relative_to(path).as_posix()).rstrip("/")


def _rewritten(params: JsonObject, closure: Closure, locations: Mapping[str, str]) -> JsonObject:
    copy = with_locations(params, locations.get) if closure.language == "CWL" else replace_strings(params, locations)
    return copy if isinstance(copy, Mapping) else {}


def _empty_folders(paths: Iterable[Path]) -> list[str]:
    empty = (path for path in paths if path.is_dir() and next(files_of(path), None) is None)
    return [f"{path} holds no file, and an empty folder can't be uploaded" for path in empty]
