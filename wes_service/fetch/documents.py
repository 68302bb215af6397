"""A workflow document of the web, with the files that it refers to by relative references.

The engine sees each file where the references say it is; a redirect only changes where a document's own references
are fetched from.
"""

import hashlib
import posixpath
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin, urlsplit

from common.attachment import safe_name
from common.errors import EngineError, InvalidField, UnreadableDocument
from common.json_types import Json
from common.masking import bare_url, masked_text
from wes_service.core.workflow import FetchedWorkflow, WebDocument
from wes_service.fetch.attachment_tree import AttachmentTree, WrittenFiles, counted
from wes_service.fetch.web import WebClient, WebPage
from wes_service.languages.documents import parse_document
from wes_service.languages.imports import imports_of
from wes_service.languages.references import is_default, references
from wes_service.languages.sources import LANGUAGES, language_of

DEFAULT_FILE_NAMES = {"CWL": "workflow.cwl", "SMK": "Snakefile", "NFL": "main.nf", "WDL": "workflow.wdl"}
URL_SAFE_CHARACTERS = "/!$&'()*+,;=:@~"


@dataclass(frozen=True, kw_only=True)
class FileReference:
    """A file that a document refers to.

    `paths`: where the engine may look for it, absolute in the tree of the web site, and `urls` where each is fetched
    from; the first that is there counts. `by`: the document and the place that name it.
    """

    paths: tuple[str, ...]
    urls: tuple[str, ...]
    by: str
    follow: bool
    optional: bool


@dataclass(frozen=True, kw_only=True)
class FetchedDocument:
    """`path`: where the engine sees it, in the tree of the web site; `url`: where it came from in the end."""

    path: str
    url: str
    text: str


def fetch_document(web: WebClient, requested: WebDocument, language: str, tree: AttachmentTree) -> FetchedWorkflow:
    """Writes all files into `tree`. What was attached is looked for beside the document, and is not fetched."""
    page = web.page(requested.url)
    if page is None:
        raise EngineError(f"{bare_url(requested.url)} does not exist: its server answered 404")
    _refuse_web_page(requested.url, page)
    path = _path_of(requested.url, page.url, language)
    files = {path: page.content}
    missing: list[str] = []
    web.budget.write(len(page.content))
    for entry in _closure(
        web, FetchedDocument(path=path, url=page.url, text=_text(page)), language, tree.attached, missing
    ):
        files.setdefault(*entry)
    root = posixpath.commonpath([posixpath.dirname(name) for name in files])
    placed = tree.place({posixpath.relpath(name, root): content for name, content in files.items()})
    name = posixpath.relpath(path, root)
    source: dict[str, Json] = {
        "url": masked_text(requested.url),
        "final_url": masked_text(page.url),
        "sha256": hashlib.sha256(page.content).hexdigest(),
        "files": len(files),
    }
    return FetchedWorkflow(name=name, source=source, lines=(_line(page, placed), *missing, *placed.lines))


def _closure(
    web: WebClient, main: FetchedDocument, language: str, attached: Collection[str], missing: list[str]
) -> Iterator[tuple[str, bytes]]:
    """Path and content of each further file; adds what was not found, but may be done without, to `missing`."""
    seen = {main.path}
    queue = deque([main])
    while queue:
        for requested in _file_references(queue.popleft(), main, language):
            beside = next((path for path in requested.paths if _is_attached(path, main, attached)), None)
            if beside is not None or seen.intersection(requested.paths):
                continue
            seen.update(requested.paths)
            found = _first(web, requested)
            if found is None:
                missing += _absence_lines(requested)
                continue
            path, page = found
            web.budget.write(len(page.content))
            yield path, page.content
            if requested.follow:
                queue.append(FetchedDocument(path=path, url=page.url, text=_text(page)))


def _first(web: WebClient, requested: FileReference) -> tuple[str, WebPage] | None:
    for path, url in zip(requested.paths, requested.urls, strict=True):
        page = web.page(url)
        if page is not None:
            return path, page
    return None


def _absence_lines(requested: FileReference) -> list[str]:
    if requested.optional:
        return []
    raise EngineError(f"{bare_url(requested.urls[0])} does not exist, and {requested.by} refers to it")


def _file_references(document: FetchedDocument, main: FetchedDocument, language: str) -> Iterator[FileReference]:
    if language == "CWL":
        yield from _cwl_references(document)
        return
    for each in imports_of(language, document.text, is_main=document is main):
        base = main if each.from_main else document
        yield FileReference(
            paths=tuple(_joined(base.path, name) for name in each.names),
            urls=tuple(urljoin(base.url, quote(name, safe=URL_SAFE_CHARACTERS)) for name in each.names),
            by=bare_url(document.url),
            follow=each.follow,
            optional=each.optional,
        )


def _cwl_references(document: FetchedDocument) -> Iterator[FileReference]:
    try:
        parsed = parse_document(document.text, bare_url(document.url))
    except UnreadableDocument:
        return  # The engine says it better.
    for reference in references(parsed):
        target = reference.target
        if target.startswith("/"):
            raise EngineError(
                f"{bare_url(document.url)} refers to {target} by an absolute path at '{reference.place}': of a fetched "
                "workflow only relative references can be followed"
            )
        if reference.kind == "directory":
            continue
        yield FileReference(
            paths=(_joined(document.path, target),),
            urls=(urljoin(document.url, quote(target, safe=URL_SAFE_CHARACTERS)),),
            by=f"{bare_url(document.url)} at '{reference.place}'",
            follow=reference.kind == "document",
            optional=reference.optional or is_default(reference),
        )


def _joined(path: str, name: str) -> str:
    """As URLs are joined: nothing leads above the top."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), name))


def _is_attached(path: str, main: FetchedDocument, attached: Collection[str]) -> bool:
    return posixpath.relpath(path, posixpath.dirname(main.path)) in attached


def _path_of(asked: str, final: str, language: str) -> str:
    """The final URL's path, with the name by which the document was asked for where the final one tells no language."""
    path = unquote(urlsplit(final).path)
    names = [posixpath.basename(path), posixpath.basename(unquote(urlsplit(asked).path))]
    good = (name for name in names if language_of(name) == language or _is_yaml(name, language))
    name = next(good, "") or DEFAULT_FILE_NAMES.get(language, "workflow")
    whole = posixpath.normpath(posixpath.join("/", posixpath.dirname(path), name))
    try:
        return "/" + safe_name(whole.lstrip("/"))
    except InvalidField:
        return f"/{DEFAULT_FILE_NAMES.get(language, 'workflow')}"


def _is_yaml(name: str, language: str) -> bool:
    return language == "CWL" and name.endswith((".json", ".yml", ".yaml"))


def _text(page: WebPage) -> str:
    return page.content.decode(errors="replace")


def _refuse_web_page(asked: str, page: WebPage) -> None:
    start = page.content[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        kinds = ", ".join(ending for language in LANGUAGES.values() for ending in language.endings)
        raise EngineError(
            f"{bare_url(asked)} is a web page, not a workflow ({kinds}): name the file itself, such as "
            "https://github.com/OWNER/NAME/blob/REVISION/PATH or git+https://HOST/REPOSITORY@REVISION#PATH"
        )


def _line(page: WebPage, placed: WrittenFiles) -> str:
    digest = hashlib.sha256(page.content).hexdigest()
    return f"The workflow was fetched from {bare_url(page.url)} (SHA-256 {digest}); {counted(placed.count)}."
