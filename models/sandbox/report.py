"""Log the sandbox restrictions that the machine refuses."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from ...schemas.errors import Unavailable

log = structlog.get_logger(__name__)


def report(check: Callable[[], list[str]]) -> None:
    """Log the result of `check` (`prepare` or `refused_restrictions`), unless all restrictions are in force."""
    try:
        if refused := check():
            log.warning("sandbox.incomplete", refused=refused)
    except Unavailable as error:
        log.error("sandbox.unavailable", detail=error.detail)
