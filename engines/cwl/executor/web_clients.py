"""Spares the import of HTTP clients, which cwltool and schema-salad want before they have anything to ask.

They would ask for documents alone, and those are read by `engines.kit.network`. Nothing here needs cwltool.
"""

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


class WebSession:
    """Stands for `requests.Session`; never asked anything."""


def without_cache(session: WebSession, **options: Any) -> WebSession:
    """Stands for `cachecontrol.CacheControl`."""
    del options
    return session


class FileCache:
    """Stands for the caches of `cachecontrol.caches`."""

    def __init__(self, *arguments: Any) -> None:
        del arguments


MODULES: Mapping[str, Mapping[str, Any]] = {
    "requests": {"Session": WebSession},
    "requests.sessions": {"Session": WebSession},
    "cachecontrol": {"CacheControl": without_cache},
    "cachecontrol.wrapper": {"CacheControl": without_cache},
    "cachecontrol.caches": {"FileCache": FileCache, "SeparateBodyFileCache": FileCache},
}


def spare_web_clients() -> None:
    """To be called before anything of cwltool is imported."""
    for name, contents in MODULES.items():
        module = ModuleType(name)
        module.__dict__.update(contents)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
