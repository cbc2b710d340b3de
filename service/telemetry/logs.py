"""Logs: one structured line per event, to standard error, in the same form for our own and the libraries' lines."""

import logging
import sys
from typing import Literal

import structlog

from service.telemetry.correlation import add_correlation


def configure_logs(log_format: Literal["console", "json"], level: str) -> None:
    """Route structlog and the standard library's logging through one renderer."""
    shared: list[structlog.typing.Processor] = [
        add_correlation,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Plain tracebacks: the richer ones show local variables, and those may be secrets.
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # aiohttp logs a malformed request line for line, and it may hold a secret; the client is told what is wrong with
    # it.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
