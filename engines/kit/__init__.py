"""What the executors of all Python engines share: they read one run's settings, send its steps to a TES, and report.

Installed into each engine's environment together with that engine's executor (`engines.python_engine`), so nothing in
here may need more than Python's standard library, or import anything of this project but the kit itself.
"""
