"""The WDL executor: miniwdl in which every task is a TES task.

Installed into miniwdl's own environment under the name that it has here, together with `engines.kit`. `settings`,
`options`, `runtime`, `step` and `localization` need only the standard library, the others miniwdl.
"""
