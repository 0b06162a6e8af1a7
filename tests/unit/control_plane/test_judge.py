"""Summaries in the tables, and the commands and events that follow from them."""

import numpy as np
import pytest
from modelmesh.control_plane.judge.judge import RESEND_AFTER, Judge
from modelmesh.models.proof.profile import build_profile
from modelmesh.schemas.payloads.commands import CommandBase
from modelmesh.schemas.payloads.observations import FeatureCounts, Summary
from modelmesh.schemas.settings import Settings

from ..releases import canary, full, spec
from .test_evidence import summary


@pytest.fixture
def judge():
    return Judge(Settings(drift_window=100), {}, {}, {})


def bad(seq):
    return summary(seq, (90, 0), (10, 10))


def test_a_decision_is_sent_again_only_if_it_had_no_effect(judge):
    release = canary()
    [command] = judge.take_in(bad(1), release, 10.0)
    assert isinstance(command, CommandBase)
    assert (command.kind, command.trial, command.based_on, command.actor) == ("rollback", 2, None, "judge")
    assert command.evidence["versions"]["2.0.0"]["failed"] == 10
    assert judge.take_in(bad(2), release, 11.0) == []
    [with_other_artifact] = judge.take_in(bad(3), release, 10.0 + RESEND_AFTER)
    assert with_other_artifact.command_id != command.command_id


def test_after_a_crash_the_same_decision_has_the_same_id():
    tables = ({}, {}, {})
    [first] = Judge(Settings(), *tables).take_in(bad(1), canary(), 10.0)
    [second] = Judge(Settings(), *tables).take_in(bad(2), canary(), 11.0)
    assert first.command_id == second.command_id


def test_a_step_is_based_on_the_generation_of_its_decision(judge):
    release = canary(0.05, steps=((5, 0), (50, 0)), min_requests=1, failure_margin=None)
    [command] = judge.take_in(summary(1, (100, 0), (10, 0)), release, 10.0)
    assert (command.kind, command.based_on, command.percentage) == ("step_canary", 2, 50)


def test_evidence_of_the_previous_release_does_not_count(judge):
    judge.take_in(summary(1, (90, 0), (10, 5), trial=1), full(), 1.0)
    assert judge.evidence(canary()).totals == {}


def test_latency_is_kept_by_version_and_a_repeated_summary_counts_once(judge):
    one = summary(1, (100, 3), (0, 0), at=1000.0)
    judge.take_in(one, canary(), 1000.0)
    judge.take_in(one, canary(), 1000.0)
    found = judge.latency_document(canary(), 1005.0)["1.0.0"]
    assert [found[window]["requests"] for window in ("1m", "5m", "1h")] == [100, 100, 100]
    assert found["1m"]["failed"] == 3
    assert judge.latency_document(canary(), 1000.0 + 200)["1.0.0"].keys() == {"5m", "1h"}
    assert judge.latency_document(canary(), 1000.0 + 4000)["1.0.0"] == {}


def rows_seen(seq, values, profile=None):
    """A summary of rows with one feature: on the profile's bins, or raw."""
    if profile is None:
        counts = FeatureCounts(rows=len(values), names=["x"], columns=[values])
    else:
        edges = profile.features[0].edges
        bins = np.bincount(np.searchsorted(edges, values), minlength=profile.features[0].bins)
        counts = FeatureCounts(rows=len(values), counts=[bins.tolist()])
    return Summary(model="m", trial=1, worker="w", epoch="e", seq=seq, at=0.0, features={"1.0.0": counts})


def test_the_first_rows_become_the_reference_and_a_shift_raises_one_event(judge):
    random = np.random.default_rng(0)
    assert judge.take_in(rows_seen(1, random.normal(size=60).tolist()), full(), 0.0) == []
    [command] = judge.take_in(rows_seen(2, random.normal(size=60).tolist()), full(), 0.0)
    assert (command.kind, command.profile.rows, command.profile.source) == ("set_profile", 100, "live")

    profile = build_profile([("x", random.normal(size=2000))])
    known = full().model_copy(update={"versions": {"1.0.0": spec("1.0.0", profile=profile)}})
    seq = 2
    events = []
    for mean, windows in ((0.0, 10), (1.0, 4)):
        for _ in range(2 * windows):
            seq += 1
            found = judge.take_in(rows_seen(seq, random.normal(mean, size=50).tolist(), profile), known, 0.0)
            events += [(event, mean) for event in found]
    [(event, mean)] = events
    assert mean == 1.0
    assert event.kind == "drift.detected"
    assert event.data.features[0]["feature"] == "x"
    assert judge.drift_document(known)["1.0.0"]["drifting"]


def test_drift_rolls_back_if_the_rules_require_it(judge):
    random = np.random.default_rng(0)
    profile = build_profile([("x", random.normal(size=2000))])
    release = canary(on_drift="rollback")
    release = release.model_copy(update={"versions": release.versions | {"1.0.0": spec("1.0.0", profile=profile)}})
    kinds = []
    for seq in range(1, 9):
        rows = rows_seen(seq, random.normal(1.0, size=50).tolist(), profile).model_copy(update={"trial": 2})
        kinds += [news.kind for news in judge.take_in(rows, release, 0.0)]
    assert kinds == ["drift.detected", "rollback"]


def test_the_release_document_has_figures_and_the_decision(judge):
    judge.take_in(summary(1, (90, 1), (10, 1)), canary(), 1.0)
    document = judge.release_document(canary(), 2.0)
    assert document["decision"]["kind"] == "hold"
    assert document["comparisons"].keys() == {"errors", "p50", "p95", "p99", "outputs", "pairs"}
    assert document["versions"]["1.0.0"]["requests"] == 90


def with_other_artifact(release, number):
    """The same release with another artifact under one of its version numbers."""
    return release.model_copy(update={"versions": release.versions | {number: spec(number, digest="other")}})


def test_a_reused_version_number_is_judged_anew(judge):
    random = np.random.default_rng(0)
    one, other = full(), with_other_artifact(full(), "1.0.0")
    judge.take_in(summary(1, (100, 3), (0, 0), trial=1, at=1000.0), one, 1000.0)
    judge.take_in(rows_seen(2, random.normal(size=60).tolist()), one, 1000.0)
    assert judge.latency_document(one, 1000.0)["1.0.0"]["1m"]["requests"] == 100
    assert judge.latency_document(other, 1000.0)["1.0.0"] == {}
    assert judge.drift_document(one)["1.0.0"]["learned_rows"] == 60
    assert judge.drift_document(other)["1.0.0"]["learned_rows"] == 0
    # A late summary with rows of the old artifact: they are no reference for the new one.
    late = rows_seen(3, random.normal(size=60).tolist()).model_copy(
        update={"identities": {"1.0.0": one.versions["1.0.0"].identity}}
    )
    assert judge.take_in(late, other, 1000.0) == []
    assert judge.drift_document(other)["1.0.0"]["learned_rows"] == 0


def test_a_removed_models_state_is_dropped(judge):
    tables = judge._evidence, judge._latency, judge._drift
    judge.take_in(summary(1, (100, 3), (0, 0), trial=1, at=1000.0), full(), 1000.0)
    judge.take_in(rows_seen(2, [1.0, 2.0]), full(), 1000.0)
    assert all(tables)
    judge.forget("m")
    assert not any(tables)


def test_the_cache_of_removed_versions_is_dropped(judge):
    judge.take_in(summary(1, (100, 3), (5, 0), at=1000.0), canary(), 1000.0)
    judge.latency_document(canary(), 1000.0)
    assert len(judge._read["m"]) == 2
    judge.latency_document(full(), 1000.0)
    assert len(judge._read["m"]) == 1
    judge.forget("m")
    assert not judge._read
