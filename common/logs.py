"""Structured logs of every process: one JSON object a line on stderr, with `action` and `run_id` where they apply."""

import contextlib
import logging
import sys
from typing import Any

import structlog


class UnfailingLogger(structlog.PrintLogger):
    """Drops a line that can't be written (the disk with the log is full): no work may fail as it can't be told of."""

    def msg(self, message: str) -> None:
        """Writes one line, or drops it."""
        with contextlib.suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def unfailing_logger(*_names: Any) -> UnfailingLogger:
    """For structlog's `logger_factory`."""
    return UnfailingLogger(sys.stderr)


def configure_logs(level: str) -> None:
    """Called once per process by its composition; other libraries' logs from WARNING on take the same way."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(sort_keys=False)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=unfailing_logger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
