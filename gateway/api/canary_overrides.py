"""The HTTP API by which a person overrules a canary's judge: pause, resume, exclude, include, hold."""

from __future__ import annotations

from aiohttp import web

from ...schemas.documents.overrides import ExcludeRequest, HoldRequest, IncludeRequest, PauseRequest, ResumeRequest
from ...schemas.documents.releases import Deployed
from ...schemas.payloads.commands import ExcludeComparison, HoldStep, IncludeComparison, PauseJudge, ResumeJudge
from ..command_client import CommandFields
from ..route import Route
from .release_changes import CHANGE_ERRORS, ReleaseChanges
from .route_tools import read_json
from .upload import parse


class CanaryOverrideRoutes(ReleaseChanges):
    """None of these changes who gets which version, so no answer waits for a worker. They need no database."""

    async def pause(self, request: web.Request) -> web.Response:
        """Pause the judge of a canary."""
        body: PauseRequest = parse(PauseRequest, await read_json(request))
        fields, trial = await self._trial_fields(request, "canary", body)
        command = PauseJudge(**fields, trial=trial, until=_until(body, fields))
        return await self._execute(command, 200, ready=False)

    async def resume(self, request: web.Request) -> web.Response:
        """Let the judge of a canary decide again."""
        body: ResumeRequest = parse(ResumeRequest, await read_json(request) if request.can_read_body else {})
        fields, trial = await self._trial_fields(request, "canary", body)
        return await self._execute(ResumeJudge(**fields, trial=trial), 200, ready=False)

    async def exclude(self, request: web.Request) -> web.Response:
        """Exclude a comparison from the decision on a canary."""
        body: ExcludeRequest = parse(ExcludeRequest, await read_json(request))
        fields, trial = await self._trial_fields(request, "canary", body)
        command = ExcludeComparison(**fields, trial=trial, comparison=body.comparison)
        return await self._execute(command, 200, ready=False)

    async def include(self, request: web.Request) -> web.Response:
        """Include an excluded comparison again."""
        body: IncludeRequest = parse(IncludeRequest, await read_json(request))
        fields, trial = await self._trial_fields(request, "canary", body)
        command = IncludeComparison(**fields, trial=trial, comparison=body.comparison)
        return await self._execute(command, 200, ready=False)

    async def hold(self, request: web.Request) -> web.Response:
        """Extend a canary's present step, or end that."""
        body: HoldRequest = parse(HoldRequest, await read_json(request))
        fields, trial = await self._trial_fields(request, "canary", body)
        command = HoldStep(**fields, trial=trial, until=_until(body, fields))
        return await self._execute(command, 200, ready=False)

    routes = (
        Route("POST", "/deployments/canary/{id}/pause", pause, "Pause a canary's judge: it takes no step and no rollback",
              scope="deploy", repeat="with_key", takes=PauseRequest, gives=Deployed, errors=CHANGE_ERRORS),
        Route("POST", "/deployments/canary/{id}/resume", resume, "Let a canary's judge decide again", scope="deploy",
              repeat="with_key", takes=ResumeRequest, gives=Deployed, errors=CHANGE_ERRORS),
        Route("POST", "/deployments/canary/{id}/exclude", exclude, "Exclude a comparison from the decision on a canary",
              scope="deploy", repeat="with_key", takes=ExcludeRequest, gives=Deployed, errors=CHANGE_ERRORS),
        Route("POST", "/deployments/canary/{id}/include", include, "Include an excluded comparison again", scope="deploy",
              repeat="with_key", takes=IncludeRequest, gives=Deployed, errors=CHANGE_ERRORS),
        Route("POST", "/deployments/canary/{id}/hold", hold, "Extend a canary's present step", scope="deploy",
              repeat="with_key", takes=HoldRequest, gives=Deployed, errors=CHANGE_ERRORS),
    )  # fmt: skip


def _until(body: PauseRequest | HoldRequest, fields: CommandFields) -> float | None:
    """Return when a request's time is over, in seconds since the epoch; None for 0 seconds, or without a time."""
    return fields["issued_at"] + body.seconds if body.seconds else body.until
