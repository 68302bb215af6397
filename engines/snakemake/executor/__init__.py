"""The Snakemake executor: Snakemake in which every rule that does something is a TES task.

Installed into Snakemake's own environment under the name that it has here, together with `engines.kit`; the server
never imports what needs Snakemake. `plugin` and `run` need it, the others only the standard library.
"""
