"""The fetch as a process of its own: what it reads is foreign, so its memory is limited and it can be ended any time.

The order comes by standard input, as a URL may hold a secret; when that closes, whoever asked is gone.
"""

import errno
import json
import os
import resource
import shutil
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import Any

from common.errors import EngineError, SystemFailure
from sandbox.identity import Identity
from sandbox.network import trusted_certificates
from wes_service.core.workflow import FetchedWorkflow, FetchRequest, WebDocument
from wes_service.fetch.attachment_tree import AttachmentTree
from wes_service.fetch.documents import fetch_document
from wes_service.fetch.process import SCRATCH, FetchJob, job_of
from wes_service.fetch.repository import fetch_repository
from wes_service.fetch.web import FetchBudget, WebClient

ORPHANED = 3
BASE_MEMORY = 1024**3
# Imported now: who drops to another user may not be able to read them later.
EARLY = (
    "encodings.idna",
    "stringprep",
    "encodings.punycode",
    "tempfile",
    "dulwich.pack",
    "dulwich.protocol",
    "httpcore",
)


def fetch(order: FetchRequest, web: WebClient) -> FetchedWorkflow:
    """In this process; raises as `WorkflowFetcher.fetch` does."""
    tree = AttachmentTree(root=order.root / "attachments")
    if isinstance(order.workflow, WebDocument):
        return fetch_document(web, order.workflow, order.language, tree)
    scratch = order.root / SCRATCH
    try:
        scratch.mkdir(mode=0o700)
        return fetch_repository(web, order.workflow, scratch, tree)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def result_of(job: FetchJob) -> Mapping[str, Any]:
    """What the parent is told: a `FetchedWorkflow`, or a problem and who is to blame for it."""
    try:
        web = WebClient(budget=FetchBudget(limits=job.limits), tls=trusted_certificates(job.ca_file))
        _drop_privileges(job.identity)
        _limit_memory(BASE_MEMORY + 2 * job.limits.workflow_bytes)
        fetched = fetch(job.order, web)
    except EngineError as error:
        return {"problem": str(error), "blame": "workflow"}
    except SystemFailure as error:
        return {"problem": str(error), "blame": "service"}
    except OSError as error:
        return {"problem": f"the workflow's files could not be written: {error.strerror}", "blame": _blame(error)}
    except MemoryError:
        return {"problem": "the workflow needs too much memory to be unpacked", "blame": "workflow"}
    except Exception as error:  # noqa: BLE001 - a broken repository fails in any way; the parent logs it
        traceback.print_exc()
        return {"problem": f"what was fetched can't be read: {type(error).__name__}: {error}", "blame": "workflow"}
    return {"name": fetched.name, "source": fetched.source, "lines": fetched.lines}


def _blame(error: OSError) -> str:
    """Names that can't be, or that clash, are the workflow's own."""
    return "workflow" if error.errno in {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG} else "service"


def _drop_privileges(identity: Identity) -> None:
    """The user that workflows run as: what is written belongs to him, and no more than his can be written."""
    for name in EARLY:
        __import__(name)
    if identity.drop:
        os.setgroups([])
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    os.umask(0o022)


def _limit_memory(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(ORPHANED)


def main() -> None:
    """One line in, one line out."""
    job = job_of(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout.write(json.dumps(result_of(job)))
    sys.stdout.flush()
    # The thread above still holds standard input, which an ordinary exit would wait for.
    os._exit(0)


if __name__ == "__main__":
    main()
