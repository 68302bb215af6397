"""How the WDL engine is installed: miniwdl from a lock file, and this project's executor beside it."""

from engines.python_engine import PythonRecipe, executor_module

VERSION = "1.16.0"


class WdlRecipe(PythonRecipe):
    """See `Recipe`."""

    engine = "miniwdl"
    folder_name = "wdl"
    versions: tuple[str, ...] = (VERSION,)
    start_cache = "grammars"
    # By which miniwdl finds the container backend.
    entry_points = f"[miniwdl.plugin.container_backend]\ntes = {executor_module('wdl')}.container:TesContainer\n"
