"""Compatibility with recorded records: they are read, applied as before, and written so that older code reads them.

recorded/records.json was written by code that had one class for all commands. It must not be generated again.
"""

import json
from pathlib import Path

import pytest
from modelmesh.control_plane.judge.drift_watch import DriftWatch
from modelmesh.control_plane.judge.evidence import Evidence
from modelmesh.control_plane.judge.latency_windows import LatencyBucket
from modelmesh.control_plane.releases.machine import step
from modelmesh.control_plane.releases.state import ReleaseState
from modelmesh.schemas.payloads.commands import read_command
from modelmesh.schemas.payloads.observations import DIFFERENCE, Difference, Summary
from modelmesh.schemas.payloads.read_events import read_event
from modelmesh.schemas.payloads.releases import Release
from pydantic import ValidationError

RECORDED = json.loads((Path(__file__).parent / "recorded" / "records.json").read_text())
CARRIED_OUT = RECORDED["carried_out"]
# The fields that every command had then, with the values of those that its kind does not use.
UNUSED = {
    "based_on": None, "trial": None, "version": None, "percentage": None, "canary": None, "variants": [], "versions": {},
    "name": "", "profile": None, "actor": "", "source": "", "reason": "", "evidence": {},
}  # fmt: skip
# Fields that were added since, all with defaults; older code ignores them.
ADDED = {
    "repeat_key", "latency_floor_ms", "warm_up_seconds", "failure_margin",
    "accuracy_margin", "on_accuracy", "accuracy",
    "mirror_share", "answer_tolerance", "max_disagreement", "on_disagreement", "pairs",
    "shared", "keyed", "keyed_latency", "keyed_failed", "failed_units", "shares", "overrides", "judged_generation",
}  # fmt: skip


def as_then(text):
    """The JSON value without the fields that were added since."""
    return json.loads(text, object_pairs_hook=lambda pairs: {k: v for k, v in pairs if k not in ADDED})


def text_as_then(text):
    """The JSON text without the fields that were added since."""
    return json.dumps(as_then(text), separators=(",", ":"), ensure_ascii=False)


def test_all_kinds_are_recorded():
    assert len({json.loads(one["command"])["kind"] for one in CARRIED_OUT}) == 12
    events = [*(one["event"] for one in CARRIED_OUT), *RECORDED["events"]]
    assert len({json.loads(event)["kind"] for event in events}) == 24


def test_commands_are_applied_as_before():
    state = ReleaseState()
    for one in CARRIED_OUT:
        state, event = step(state, read_command(one["command"]), one["at"])
        assert as_then(event.model_dump_json()) == json.loads(one["event"])
        release = text_as_then(state.release.model_dump_json()) if state.release is not None else None
        assert release == one["release"], "the record on deployments, byte by byte"
        if "state" in one:
            assert as_then(state.model_dump_json()) == as_then(one["state"])


@pytest.mark.parametrize("sent", [one["command"] for one in CARRIED_OUT])
def test_a_command_is_written_so_that_older_code_reads_it(sent):
    written = as_then(read_command(sent).model_dump_json())
    assert UNUSED | written == json.loads(sent)


@pytest.mark.parametrize("sent", [*(one["event"] for one in CARRIED_OUT), *RECORDED["events"]])
def test_an_event_is_written_as_it_was_read(sent):
    assert as_then(read_event(sent).model_dump_json()) == json.loads(sent)


def test_releases_and_tables_are_written_as_they_were_read():
    for one in CARRIED_OUT:
        if one["release"] is not None:
            assert text_as_then(Release.model_validate_json(one["release"]).model_dump_json()) == one["release"]
        if "state" in one:
            assert as_then(ReleaseState.model_validate_json(one["state"]).model_dump_json()) == as_then(one["state"])
    for name, kind in (("latency", LatencyBucket),):
        assert RECORDED["tables"][name]
        for value in RECORDED["tables"][name].values():
            assert kind.model_validate_json(value).model_dump_json() == value


def test_evidence_of_before_is_read():
    """Its comparisons of latency are dropped, since they counted requests; its comparison of errors and its counts stay."""
    assert RECORDED["tables"]["evidence"]
    for value in RECORDED["tables"]["evidence"].values():
        then, now = json.loads(value), Evidence.model_validate_json(value)
        assert now.errors.logs == then["errors"]["logs"]
        assert now.errors.block.model_dump() == then["errors"]["block"]
        written = as_then(now.model_dump_json())
        for name in then.keys() - {"errors", "tails"}:
            assert written[name] == then[name]


def test_drift_tables_are_read():
    """Their rolling window and their first rows start again; which summaries they contain, and the counts, stay."""
    assert RECORDED["tables"]["drift"]
    for value in RECORDED["tables"]["drift"].values():
        watch, before = DriftWatch.model_validate_json(value), json.loads(value)
        assert (watch.seen.model_dump(mode="json"), watch.rows) == (before["seen"], before["rows"])
        assert (watch.windows, watch.drifting, watch.level) == (before["windows"], before["drifting"], before["level"])


def test_observations_are_written_as_they_were_read():
    for one in RECORDED["observations"]:
        kind = Difference if [DIFFERENCE[0], DIFFERENCE[1].decode()] in one["headers"] else Summary
        assert text_as_then(kind.model_validate_json(one["value"]).model_dump_json()) == one["value"]


def test_unknown_fields_of_a_newer_release_are_kept():
    event = json.loads(RECORDED["events"][0])
    event["data"] |= {"new": {"much": None}}
    assert as_then(read_event(json.dumps(event)).model_dump_json()) == event


def test_a_command_without_a_required_field_is_not_read():
    command = json.loads(CARRIED_OUT[0]["command"])
    assert command["kind"] == "deploy"
    for name in ("version", "model", "expires_at", "kind"):
        with pytest.raises(ValidationError):
            read_command(json.dumps({key: value for key, value in command.items() if key != name}))
    with pytest.raises(ValidationError):
        read_command(json.dumps(command | {"version": None}))
