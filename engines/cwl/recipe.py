"""How the CWL engine is installed: cwltool and Node.js from a lock file, and this project's executor beside them."""

from engines.python_engine import PythonRecipe

VERSION = "3.3.20260925135507"


class CwlRecipe(PythonRecipe):
    """See `Recipe`."""

    engine = "cwltool"
    folder_name = "cwl"
    versions: tuple[str, ...] = (VERSION,)
    start_cache = "schemas"
