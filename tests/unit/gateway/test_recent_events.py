"""What an event has said, the API says too, before the history has it and while the database is down."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from modelmesh.control_plane.releases.machine import step
from modelmesh.control_plane.releases.state import ReleaseState
from modelmesh.gateway import recent_events
from modelmesh.gateway.api.releases import ReleaseRoutes
from modelmesh.gateway.recent_events import RecentEvents, newer
from modelmesh.gateway.route import RouteTable
from modelmesh.schemas.documents.releases import EventDocument

from ..releases import command, spec


def story():
    """The events of a canary from its start to its promotion."""
    state = ReleaseState()
    for number, one in enumerate(
        (
            command("deploy", version=spec("1.0.0")),
            command("start_canary", version=spec("2.0.0"), percentage=10),
            command("promote", reason="r"),
        )
    ):
        state, event = step(state, one.model_copy(update={"command_id": f"c{number}"}), now=float(number))
        yield event


class NoDatabase:
    async def events_of_trial(self, *_):
        raise AssertionError("the database is down")


class NoReleases:
    releases = {}  # noqa: RUF012


@pytest.fixture
async def http():
    recent = RecentEvents()
    for event in story():
        recent.add(event, 100)
    app = web.Application()
    RouteTable().add_to(app, [ReleaseRoutes(NoDatabase(), None, NoReleases(), None, recent)])
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.mark.parametrize("name", ["m", "m.2"])
async def test_an_ended_canary_is_shown_before_the_history_has_it(http, name):
    async with http.get(f"/deployments/canary/{name}") as response:
        found = await response.json()
    assert (response.status, found["status"], found["id"]) == (200, "promoted", "m.2")
    assert [event["kind"] for event in found["events"]] == ["canary.promoted"]


def test_what_the_history_lacks_is_added_once():
    events = [EventDocument.of(event) for event in story()]  # oldest first
    assert [event.at for event in newer(events[::-1], events[1::-1])] == [2.0]
    assert newer(events[:1], events[:0:-1]) == []  # on a later page of the history
    assert newer(events, []) == events


def test_the_events_that_are_kept_have_a_limit_in_bytes(monkeypatch):
    monkeypatch.setattr(recent_events, "MAX_BYTES", 250)
    recent = RecentEvents()
    for event in story():
        recent.add(event, 100)
    assert [event.kind for event in recent.select()] == ["canary.promoted", "canary.started"]
    assert recent.select(models=("n",)) == recent.select(kinds=("drift.detected",)) == []
