"""The CWL conformance tests through a WES: `make conformance CWL_TESTS=DIR`."""
