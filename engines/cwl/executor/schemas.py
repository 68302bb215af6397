"""cwltool's schemas, parsed once at installation, as that takes longer than most workflows' own work.

`python -m engines.cwl.executor.schemas` writes the cache to standard output.
"""

import contextlib
import pickle
import sys
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from engines.cwl.executor.web_clients import spare_web_clients

if __name__ == "__main__":
    spare_web_clients()

from cwltool import process

NAMESPACE = "http://commonwl.org/cwltool"
CACHE = Path(__file__).with_name("schemas.pickle")
VERSIONS = ("v1.0", "v1.1", "v1.2")
EXTENSIONS = {"v1.0": "extensions.yml", "v1.1": "extensions-v1.1.yml", "v1.2": "extensions-v1.2.yml"}
"""Files of cwltool's with the schemas of its extensions (as `cwltool --enable-ext` has them)."""
NAMED = ("https://w3id.org/cwl/salad#Any", "https://w3id.org/cwl/cwl#File", "https://w3id.org/cwl/cwl#Directory")
"""All that cwltool looks up in the loader of a schema's own schema, which itself can't be pickled."""


def use_cache() -> None:
    """Does nothing where there is no cache: cwltool then parses them. The file is the installation's, so trusted."""
    if process.SCHEMA_CACHE:
        return
    with_extensions()
    with contextlib.suppress(OSError, EOFError, AttributeError, ImportError, pickle.UnpicklingError):
        process.SCHEMA_CACHE.update(pickle.loads(CACHE.read_bytes()))  # noqa: S301


def with_extensions() -> None:
    """From now on what cwltool parses has its own extensions."""
    for version, name in EXTENSIONS.items():
        text = files("cwltool").joinpath(name).read_text("utf-8")
        process.use_custom_schema(version, NAMESPACE, text)


def pickled() -> bytes:
    """The content of the cache, for this cwltool."""
    with_extensions()
    schemas: dict[str, Any] = {}
    for version in VERSIONS:
        loader, names, metadata, own = process.get_schema(version)
        schemas[version] = (loader, names, metadata, SimpleNamespace(idx={name: own.idx[name] for name in NAMED}))
    return pickle.dumps(schemas, protocol=pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    sys.stdout.buffer.write(pickled())
