"""The Snakemake executor: Snakemake in which every rule that does something is a TES task.

Installed into Snakemake's own environment under the same name, together with the TES client of the CWL executor; the
server never imports what needs Snakemake. `plugin` and `run` need it, the others only the standard library.
"""
