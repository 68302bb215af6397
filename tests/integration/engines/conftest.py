"""Fixtures of the engines' integration tests."""

from tests.engine_fixtures import cwl_installation, cwl_runs, tes

__all__ = ["cwl_installation", "cwl_runs", "tes"]
