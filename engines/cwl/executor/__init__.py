"""The CWL executor: cwltool in which every command line tool is a TES task.

Installed into cwltool's own environment under the name that it has here, together with `engines.kit`. The server never
imports what needs cwltool: `run`, `load`, `schemas`, `tools`, `job`, `gather` and `files`; the others need only the
standard library.
"""
