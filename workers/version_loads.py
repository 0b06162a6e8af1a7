"""Which versions of a model are being loaded in this worker: stable first, and again later if a load failed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection

import structlog

from ..schemas.errors import ModelMeshError
from ..schemas.payloads.releases import Release, VersionSpec
from .loading_plan import plan

log = structlog.get_logger(__name__)
MAX_REASON = 500  # characters of why a version does not load; it is in each heartbeat
FIRST_RETRY = 5.0
LAST_RETRY = 300.0


def retry_delay(failures: int, uniform: float) -> float:
    """Return the seconds until a version is loaded again: 5 after the first failure, doubled up to 300, and +-25 % of jitter.

    The jitter, from `uniform` in [0, 1), keeps the workers from fetching the same file at the same time.
    """
    # The exponent is bounded, since a version may fail for weeks.
    return min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 10)) * (0.75 + 0.5 * uniform)


class VersionLoads:
    """Runs `load` for each missing version of the latest release; `on_end` is called with the identity when a load has ended."""

    def __init__(
        self, model: str, load: Callable[[VersionSpec], Awaitable[None]], on_end: Callable[[str], None]
    ) -> None:
        self._model = model
        self._load = load
        self._on_end = on_end
        self._release: Release | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, int] = {}  # in a row, by identity
        self._retries: dict[str, asyncio.TimerHandle] = {}
        self.failed: dict[str, str] = {}  # why versions of the release do not load, by number

    def is_first(self, identity: str) -> bool:
        """Whether a version is being loaded that has not failed before, so that requests should wait for it."""
        return identity in self._tasks and identity not in self._failures

    def start(self, release: Release, loaded: Collection[str]) -> None:
        """Load the release's versions whose identity is not in `loaded`, those that failed before too."""
        self._release = release
        for identity in list(self._retries):
            self._retries.pop(identity).cancel()
        # What is loaded anew has not failed yet: requests wait for it, and the heartbeat gives no reason.
        self._failures = {identity: n for identity, n in self._failures.items() if identity in self._tasks}
        current = release.identities
        self.failed = {version: why for version, why in self.failed.items() if current.get(version) in self._failures}
        # Stable is the fallback, so no candidate is offered before stable is loaded.
        stable = current[release.stable.version]
        for spec in sorted(plan(release, loaded, self._tasks).load, key=lambda spec: spec.identity != stable):
            self._start(spec, self._tasks.get(stable))

    async def settled(self) -> None:
        """Wait for the loads that are running, not for retries."""
        if self._tasks:
            # Not gather: who waits may be cancelled, and gather would cancel the loads with it.
            await asyncio.wait(self._tasks.values())

    def close(self) -> None:
        """Cancel all loads and retries."""
        for task in self._tasks.values():
            task.cancel()
        for retry in self._retries.values():
            retry.cancel()

    def _start(self, spec: VersionSpec, after: asyncio.Task[None] | None = None) -> None:
        self._retries.pop(spec.identity, None)
        self._tasks[spec.identity] = asyncio.create_task(self._run(spec, after))

    async def _run(self, spec: VersionSpec, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await asyncio.wait([after])
        try:
            await self._load(spec)
        except Exception as error:
            reason = error.detail if isinstance(error, ModelMeshError) else f"{type(error).__name__}: {error}"
            log.error("version.failed", model=self._model, version=spec.version, reason=reason)
            if self._in_release(spec):
                self._try_later(spec, reason[:MAX_REASON])
        else:
            self._failures.pop(spec.identity, None)
            if self._in_release(spec):
                self.failed.pop(spec.version, None)
        finally:
            self._tasks.pop(spec.identity, None)
            self._on_end(spec.identity)

    def _try_later(self, spec: VersionSpec, reason: str) -> None:
        self.failed[spec.version] = reason
        failures = self._failures[spec.identity] = self._failures.get(spec.identity, 0) + 1
        delay = retry_delay(failures, random.random())
        self._retries[spec.identity] = asyncio.get_running_loop().call_later(delay, self._start, spec)

    def _in_release(self, spec: VersionSpec) -> bool:
        return self._release is not None and self._release.identities.get(spec.version) == spec.identity
