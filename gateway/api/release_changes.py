"""What all routes that change a release have in common: the fields of the command, its execution and the answer."""

from __future__ import annotations

from aiohttp import web

from ...broker.views.releases import ReleasesView
from ...schemas.documents.releases import ChangeRequest, Deployed, DeploymentDocument, EventDocument
from ...schemas.errors import NotFound
from ...schemas.payloads.commands import Command
from ...schemas.payloads.releases import Release, Strategy
from ..command_client import CommandFields
from ..deployer import Deployer
from ..idempotency_key import idempotency_key
from .route_tools import answer, parse_id, read_json
from .upload import parse

CHANGE_ERRORS = (400, 404, 409, 422, 503)  # of every change of a release


class ReleaseChanges:
    """Base class of resources that change releases by commands to the control plane."""

    def __init__(self, deployer: Deployer, releases: ReleasesView) -> None:
        self._deployer = deployer
        self._releases = releases

    def _running(self, request: web.Request, strategy: Strategy) -> Release:
        name, trial = parse_id(request)
        release = self._releases.releases.get(name)
        if release is None:
            raise NotFound(f"there is no release of {name[:80]!r}", field="id")
        if release.strategy != strategy or trial not in (None, release.id):
            what = {"canary": "canary", "shadow": "shadow", "ab": "experiment"}[strategy]
            raise NotFound(f"no {what} {request.match_info['id'][:80]!r} is running", field="id")
        return release

    async def _fields(self, model: str, body: ChangeRequest) -> CommandFields:
        return await self._deployer.command_fields(
            model, actor=body.actor, reason=body.reason, based_on=body.generation
        )

    async def _trial_fields(
        self, request: web.Request, strategy: Strategy, body: ChangeRequest | None = None
    ) -> tuple[CommandFields, int]:
        """Return the fields of a command on the running trial of the path's id, and the trial's number. Raises NotFound."""
        if body is None:
            body = parse(ChangeRequest, await read_json(request) if request.can_read_body else {})
        name, trial = parse_id(request)
        if trial is not None and idempotency_key.get() and name in self._releases.releases:
            # It may be over since the first request with this key: the control plane knows that one's answer.
            return await self._fields(name, body), trial.number
        release = self._running(request, strategy)
        return await self._fields(release.model, body), release.trial

    async def _execute(self, command: Command, status: int = 201, *, ready: bool = True) -> web.Response:
        """Execute a command and answer; with `ready`, once workers have loaded every version of the release."""
        event = await self._deployer.execute(command, ready=ready)
        release = self._releases.releases.get(command.model)
        document, usable = self._deployment(release) if release else None, self._deployer.usable(command.model)
        return answer(Deployed(event=EventDocument.of(event), deployment=document, ready=usable), status)

    def _deployment(self, release: Release) -> DeploymentDocument:
        return DeploymentDocument.of(release, self._deployer.usable(release.model))
