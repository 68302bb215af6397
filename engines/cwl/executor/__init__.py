"""The CWL executor: cwltool in which every command line tool is a TES task.

Installed into cwltool's own environment as the package `wes_cwl`; the server never imports what needs cwltool.
Modules import each other relatively, as the package has two names. `run`, `load`, `tools`, `job` and `files` need
cwltool, the others only the standard library.
"""
