"""The WDL executor: miniwdl in which every task is a TES task.

Installed into miniwdl's own environment under the name that it has here, together with `engines.kit`. `run`, `load`,
`container`, `miniwdl` and `failure` need miniwdl, the others only the standard library.
"""
