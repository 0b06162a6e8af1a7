"""Answers of both versions to the same requests, in the judge."""

import pytest
from modelmesh.control_plane.judge.decision import ALPHA_SHARES, decide, figures
from modelmesh.control_plane.judge.evidence import Evidence
from modelmesh.control_plane.judge.judge import Judge
from modelmesh.schemas.payloads.observations import PairCounts, Summary
from modelmesh.schemas.settings import Settings

from .. import releases
from .test_evidence import after, canary, summary


def pairs(seq, compared, differed, **options):
    counts = PairCounts(compared=compared, differed=differed, confusions={"0 -> 1": differed}, **options)
    return summary(seq, (90, 0), (10, 0)).model_copy(update={"pairs": counts})


def test_the_shares_of_alpha_add_up_to_one():
    assert sum(ALPHA_SHARES.values()) == pytest.approx(1)


@pytest.mark.parametrize("rule", ["report", "hold", "rollback"])
def test_equal_models_change_nothing_by_any_rule(rule):
    release = canary(steps=((5, 0), (50, 0)), min_requests=20, failure_margin=None, on_disagreement=rule)
    assert decide(after([pairs(seq, 50, 0) for seq in range(1, 50)], release), release, 9.0).kind == "step"


def test_what_follows_from_flipped_labels_is_a_rule():
    flipped = [pairs(seq, 30, 6) for seq in range(1, 11)]  # 20 % of 300
    for rule, kind in (("report", "step"), ("hold", "hold"), ("rollback", "rollback")):
        release = canary(steps=((5, 0), (50, 0)), min_requests=20, failure_margin=None, on_disagreement=rule)
        decision = decide(after(flipped, release), release, 9.0)
        assert decision.kind == kind
        if kind != "step":
            assert "60 of its 300 answers" in decision.reason
            assert "0 -> 1: 60" in decision.reason
    unjudged = canary(max_disagreement=None, on_disagreement="rollback")
    known = after(flipped, unjudged)
    assert decide(known, unjudged, 0.0).kind == "hold"
    found = figures(known, unjudged)
    assert "pairs" not in found["comparisons"]
    assert (found["pairs"]["rate"], found["pairs"]["confusions"]) == (0.2, {"0 -> 1": 60})


def test_one_event_is_raised():
    judge, release = Judge(Settings(), {}, {}, {}), releases.canary()
    found = [event for seq in range(1, 20) for event in judge.take_in(pairs(seq, 30, 6), release, float(seq))]
    [event] = found
    assert (event.kind, event.event_id, event.data.what) == ("canary.warned", "m.2.pairs", "pairs")
    assert event.data.pairs["confusions"] == {"0 -> 1": event.data.pairs["differed"]}
    assert judge.release_document(release, 0.0)["pairs"]["observed"] == 19 * 30


def test_one_users_answers_count_once():
    one_user = [pairs(seq, 30, 30, keyed=30, keyed_differed=30, units={7: True}) for seq in range(1, 50)]
    known = after(one_user)
    assert (known.pairs.observed, known.pairs.differed, known.pairs.counts.compared) == (1, 1, 49 * 30)


def test_summaries_and_states_without_pairs_are_read():
    old = summary(1, (90, 0), (10, 0)).model_dump_json(exclude={"pairs"})
    assert after([Summary.model_validate_json(old)]).pairs.observed == 0
    state = Evidence(trial=2).model_dump(exclude={"pairs"})
    assert Evidence.model_validate(state).pairs.strongest == 0.0
