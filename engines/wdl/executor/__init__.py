"""The WDL executor: miniwdl in which every task is a TES task.

Installed into miniwdl's own environment under the name that it has here, with those modules of the CWL executor that
speak to a TES and need nothing else. `container`, `counted`, `load`, `inputs`, `outputs`, `reasons` and `run` need
miniwdl, the others only the standard library.
"""
