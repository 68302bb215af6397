"""Fixtures of the WDL engine's integration tests."""

from tests.wdl_fixtures import wdl_installation, wdl_runs

__all__ = ["wdl_installation", "wdl_runs"]
