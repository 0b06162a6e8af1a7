"""Say in a role's log what keeps models' processes less apart than they should be."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from ...schemas.errors import Unavailable

log = structlog.get_logger(__name__)


def report(look: Callable[[], list[str]]) -> None:
    """Log what `look` (`prepare` or `refused_restrictions`) finds; a machine that keeps them apart whole is no news."""
    try:
        if refused := look():
            log.warning("sandbox.incomplete", refused=refused)
    except Unavailable as error:
        log.error("sandbox.unavailable", detail=error.detail)
