import io
import logging
import sys

import pytest
import structlog

from common.logs import configure_logs, unfailing_logger


class _FullDisk(io.StringIO):
    def write(self, text: str) -> int:  # noqa: ARG002
        raise OSError(28, "No space left on device")


def test_a_line_that_can_not_be_written_is_dropped_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", _FullDisk())
    lost = unfailing_logger()
    for say in (lost.msg, lost.info, lost.warning, lost.error, lost.exception, lost.critical):
        say("nobody reads this")
    with pytest.raises(OSError, match="No space left"):
        structlog.PrintLogger(sys.stderr).msg("what it would be without")


def test_every_program_logs_so(monkeypatch: pytest.MonkeyPatch) -> None:
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        monkeypatch.setattr(sys, "stderr", _FullDisk())
        configure_logs("INFO")
        structlog.get_logger("fresh").error("nobody reads this")
    finally:
        structlog.configure(**before)
        root.handlers[:] = handlers
        root.setLevel(level)
