"""The routes that overrule a canary's judge: the commands that they send, what they refuse, and the client's calls to them."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from modelmesh.cli.commands.canary_overrides import say_overrides
from modelmesh.control_plane.releases.machine import step
from modelmesh.control_plane.releases.state import ReleaseState
from modelmesh.gateway.api.canary_overrides import CanaryOverrideRoutes
from modelmesh.gateway.route import RouteTable
from modelmesh.schemas.documents.releases import CanaryDocument, DeploymentDocument
from modelmesh.schemas.errors import IllegalTransition, InvalidInput, ModelMeshError, NotFound, from_problem
from modelmesh.sdk import AsyncModelMeshClient

from ...shell import printed
from .. import releases

NOW = 1_000_000.0


class Releases:
    """The gateway's view of the releases, with one canary."""

    def __init__(self):
        self.releases = {"m": releases.canary(steps=((5, 0), (50, 0)))}


class ControlPlane:
    """Carries commands out at once."""

    def __init__(self, view):
        self.view, self.state = view, ReleaseState(release=view.releases["m"])

    async def command_fields(self, model, *, actor="", reason="", based_on=None):
        return {
            "model": model, "actor": actor, "source": "here", "reason": reason, "based_on": based_on,
            "issued_at": NOW, "expires_at": NOW + 5,
        }  # fmt: skip

    async def execute(self, command, *, ready):
        assert not ready, "no answer waits for a worker"
        self.state, event = step(self.state, command, NOW)
        self.view.releases["m"] = self.state.release
        if event.problem is not None:
            raise from_problem(event.problem)
        return event

    def usable(self, model):
        return True


@web.middleware
async def problems(request, handler):
    try:
        return await handler(request)
    except ModelMeshError as error:
        return web.json_response(error.problem(), status=error.status)


@pytest.fixture
async def client():
    view = Releases()
    app = web.Application(middlewares=[problems])
    RouteTable().add_to(app, [CanaryOverrideRoutes(ControlPlane(view), view)])
    async with TestServer(app) as server, AsyncModelMeshClient(str(server.make_url("/"))) as client:
        client.view = view
        yield client


def overrides(client):
    return client.view.releases["m"].canary.overrides


async def test_pause_and_resume(client):
    changed = await client.pause_canary("m", "moving", seconds=60, actor="ann")
    assert (changed.event.kind, changed.event.actor, changed.event.data["reason"]) == ("canary.paused", "ann", "moving")
    paused = changed.deployment.canary.overrides.paused
    assert (paused.actor, paused.reason, paused.at, paused.until) == ("ann", "moving", NOW, NOW + 60)
    assert (await client.resume_canary("m.2")).event.kind == "canary.resumed"
    assert overrides(client).paused is None
    with pytest.raises(IllegalTransition, match="nothing to resume"):
        await client.resume_canary("m")


async def test_exclude_and_include(client):
    assert (await client.exclude_comparison("m", "p99", "one slow disk")).event.data["comparison"] == "p99"
    assert overrides(client).excluded["p99"].reason == "one slow disk"
    await client.include_comparison("m", "p99")
    assert overrides(client).excluded == {}
    with pytest.raises(InvalidInput, match="one of errors"):
        await client.exclude_comparison("m", "everything", "why not")


async def test_hold_and_its_end(client):
    await client.hold_canary("m", "until after lunch", seconds=3600)
    assert overrides(client).held.until == NOW + 3600
    await client.hold_canary("m", "until tomorrow", until=NOW + 86400)
    assert overrides(client).held.until == NOW + 86400
    await client.hold_canary("m", "eaten", seconds=0)
    assert overrides(client).held is None


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda client: client.pause_canary("m", ""), InvalidInput, "reason"),
        (lambda client: client.pause_canary("m", "x" * 1001), InvalidInput, "reason"),
        (lambda client: client.pause_canary("m", "r", seconds=1, until=NOW + 1), InvalidInput, "not both"),
        (lambda client: client.pause_canary("m", "r", seconds=-1), InvalidInput, "seconds"),
        (lambda client: client.hold_canary("m", "r"), InvalidInput, "either seconds or until"),
        (lambda client: client.hold_canary("m", "r", until=NOW - 1), InvalidInput, "in the future"),
        (lambda client: client.pause_canary("m.1", "r"), NotFound, "no canary"),
        (lambda client: client.pause_canary("other", "r"), NotFound, "no release"),
    ],
)
async def test_what_is_wrong_is_named(client, call, error, says):
    with pytest.raises(error, match=says):
        await call(client)


async def test_the_commands(client):
    async def say(*arguments):
        return (await printed("canary", *arguments, "--url", client.url)).replace("\n", " ")

    assert "is paused by" in await say("pause", "m", "--reason", "moving", "--seconds", 60)
    assert "decides again" in await say("resume", "m")
    assert "p99 excluded" in await say("exclude", "m", "p99", "--reason", "one slow disk")
    assert "again" in await say("include", "m", "p99")
    assert "is held by" in await say("hold", "m", "--seconds", 3600, "--reason", "lunch")
    for arguments in (("pause", "m"), ("exclude", "m", "p99"), ("hold", "m", "--seconds", 1)):
        with pytest.raises(InvalidInput, match="--reason"):
            await say(*arguments)


async def test_canary_show_says_what_is_overruled(client, capsys):
    await client.pause_canary("m", "moving", actor="ann")
    await client.exclude_comparison("m", "p99", "one slow disk", actor="bob")
    release = client.view.releases["m"]
    canary = CanaryDocument(id=release.id, status="running", deployment=DeploymentDocument.of(release, True))
    say_overrides(canary)
    text = " ".join(capsys.readouterr().out.split())
    assert "the judge is paused by ann since 1970-01-12 13:46:40 UTC: moving" in text
    assert "p99 excluded from the decision by bob" in text
