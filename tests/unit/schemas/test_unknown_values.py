"""Values of another release are read, kept as they are, and stop nothing."""

import json

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.broker.views.releases import ReleasesView
from modelmesh.control_plane.releases.machine import step
from modelmesh.control_plane.releases.state import ReleaseState
from modelmesh.schemas.payloads.commands import UnknownCommand, read_command
from modelmesh.schemas.payloads.keys import ApiKey
from modelmesh.schemas.payloads.read_events import UnknownEvent, read_event
from modelmesh.schemas.payloads.releases import Release
from modelmesh.schemas.payloads.replicas import Heartbeat
from modelmesh.schemas.payloads.rules import Rules
from modelmesh.schemas.payloads.understood_releases import not_understood
from modelmesh.schemas.settings import Settings
from pydantic import ValidationError
from structlog.testing import LogCapture

from ..broker.test_topic_follower import Consumer, Sent
from ..releases import canary, command, full, spec

NEW_EVENT = {
    "event_id": "e",
    "kind": "canary.cloned",
    "model": "m",
    "at": 1.0,
    "command_id": "x",
    "new": 1,
    "data": {"why": [1]},
}
names = st.text("abcdefgh-", min_size=1, max_size=20).map("new-{}".format)


def changed(release, **fields):
    return Release.model_validate_json(json.dumps(release.model_dump(mode="json") | fields))


def refused(state, sent):
    after, event = step(state, sent, 1.0)
    assert after.release == state.release
    assert event.problem["status"] == 409
    return event.problem["detail"]


def test_an_unknown_event_is_read_with_all_its_fields():
    event = read_event(json.dumps(NEW_EVENT))
    assert isinstance(event, UnknownEvent)
    assert event.kind == "canary.cloned"
    assert NEW_EVENT.items() <= json.loads(event.model_dump_json()).items()


@pytest.mark.parametrize(
    "remembered", [NEW_EVENT, {"kind": "release.deployed"}, NEW_EVENT | {"kind": "release.deployed"}, 7]
)
def test_a_remembered_event_that_cannot_be_read_does_not_block_the_model(remembered):
    stored = json.loads(ReleaseState(release=full()).model_dump_json()) | {"answered": [remembered]}
    state = ReleaseState.model_validate_json(json.dumps(stored))
    after, event = step(state, command("deploy", version=spec("2.0.0")), 1.0)
    assert event.kind == "release.deployed"
    again = ReleaseState.model_validate_json(after.model_dump_json())
    assert len(again.answered) == 2
    assert ReleaseState.model_validate_json(again.model_dump_json()) == again


@given(names)
def test_an_unknown_command_is_refused_in_words(kind):
    known = command("remove").model_dump(mode="json")
    sent = read_command(json.dumps(known | {"kind": kind}))
    assert isinstance(sent, UnknownCommand)
    assert kind in refused(ReleaseState(release=full()), sent)


@given(names)
def test_a_command_with_an_unknown_rule_is_refused_in_words(value):
    sent = json.loads(command("start_canary", version=spec("2.0.0"), canary=canary().canary).model_dump_json())
    sent["canary"]["rules"]["on_drift"] = value
    assert f"canary.rules.on_drift '{value}'" in refused(ReleaseState(release=full()), read_command(json.dumps(sent)))


@given(names)
def test_a_release_of_an_unknown_strategy_ends_only_by_deploy_or_remove(strategy):
    state = ReleaseState(release=changed(canary(), strategy=strategy))
    assert state.release.running_canary is None, "the judge decides nothing"
    assert strategy in refused(state, command("promote"))
    assert strategy in refused(state, command("start_shadow", version=spec("3.0.0"), percentage=10))
    assert step(state, command("deploy", version=spec("2.0.0")), 1.0)[0].release.strategy == "full"
    assert step(state, command("remove"), 1.0)[0].release is None
    assert json.loads(state.model_dump_json())["release"]["strategy"] == strategy, "it is kept as it is"


async def test_a_release_with_unknown_values_leaves_the_last_one_in_place_and_is_noted(monkeypatch):
    view, sent = ReleasesView(Settings(name="tests"), None), Sent()
    new = changed(canary(generation=3), strategy="tournament")
    logs = LogCapture()  # not capture_logs: another test may have cached the module's logger
    monkeypatch.setattr(
        "modelmesh.broker.views.releases.log",
        structlog.wrap_logger(
            structlog.PrintLogger(), processors=[logs], wrapper_class=structlog.make_filtering_bound_logger(0)
        ),
    )
    await view._follower._read(Consumer([one.model_dump_json().encode() for one in (full(), new, new)], ()), 0)
    assert view.releases == {"m": full()}
    assert view.not_understood == {"m": "strategy 'tournament'"}
    assert [one["event"] for one in logs.entries] == ["release.not_understood"], "once"
    await view._follower._read(Consumer([full("2.0.0", generation=4).model_dump_json().encode()], ()), 0)
    assert (view.releases["m"].generation, view.not_understood, sent.letters) == (4, {}, [])


async def test_without_an_earlier_release_stable_answers_everything():
    view = ReleasesView(Settings(name="tests"), None)
    new = changed(canary(generation=3), strategy="tournament")
    await view._follower._read(Consumer([new.model_dump_json().encode()], ()), 0)
    [release] = view.releases.values()
    assert [(one.version, one.weight) for one in release.variants] == [("1.0.0", 1.0)]


def test_an_unknown_rule_of_the_judge_does_not_matter_for_answering():
    found = json.loads(canary().model_dump_json())
    found["canary"]["rules"]["on_drift"] = "pause"
    release = Release.model_validate_json(json.dumps(found))
    assert not_understood(release) == ""
    assert release.canary.rules.on_drift not in ("report", "rollback")
    assert json.loads(release.model_dump_json()) == found


def test_unknown_roles_and_scopes_grant_nothing():
    beat = Heartbeat.model_validate_json('{"replica": "r", "role": "cache", "epoch": "e", "at": 0, "pid": 1}')
    assert beat.role not in ("router", "worker", "control", "recorder")
    key = {"id": "0" * 12, "name": "n", "digest": "0" * 64, "scopes": ["predict", "audit"], "created_at": 0}
    assert ApiKey.model_validate_json(json.dumps(key)).scopes == ("predict", "audit")


def test_in_code_an_unknown_value_is_an_error():
    with pytest.raises(ValidationError):
        Rules(on_drift="pause")
    with pytest.raises(ValidationError):
        Rules.model_validate({"on_drift": "pause"})
