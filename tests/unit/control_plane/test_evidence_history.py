"""The evidence over time is bounded, and in the event whoever ends the canary."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from modelmesh.cli.evidence_history import chart
from modelmesh.control_plane.judge.evidence import Evidence
from modelmesh.control_plane.judge.evidence_history import COMPARISONS, INTERVAL, MOST, EvidenceHistory, point
from modelmesh.control_plane.judge.failure_difference import FailureDifference
from modelmesh.control_plane.judge.judge import Judge
from modelmesh.schemas.documents.releases import CanaryDocument
from modelmesh.schemas.payloads.observations import VersionCounts
from modelmesh.schemas.settings import Settings
from modelmesh.stats.confidence_sequence import Interval

from .. import releases
from .test_evidence import after, summary

NOW = point(dict.fromkeys(COMPARISONS, 4.56789), Interval(0.0, -0.123456, 0.123456))


@given(st.lists(st.floats(0, 100), max_size=600))
def test_points_are_in_order_bounded_and_from_the_beginning_on(gaps):
    history, at = EvidenceHistory(), 1e9
    for gap in gaps:
        at += gap
        history.add(at, lambda: NOW)
    times = [each[0] for each in history.points]
    assert times == sorted(set(times))
    assert len(times) <= MOST
    assert not gaps or times[0] == 0
    assert all(later - earlier >= INTERVAL - 0.11 for earlier, later in pairwise(times))


def test_a_month_fits_in_a_few_kilobytes_and_keeps_its_resolution():
    history = EvidenceHistory()
    for second in range(0, 30 * 86400, 60):
        history.add(float(second), lambda: NOW)
    assert MOST / 2 <= len(history.points) <= MOST
    assert history.points[-1][0] > 29 * 86400
    assert len(history.model_dump_json()) < 8000


def test_times_that_go_back_are_left_out():
    history = EvidenceHistory()
    for at in (100.0, 110.0, 105.0, 20.0):
        history.add(at, lambda: NOW)
    assert [each[0] for each in history.points] == [0, 10]


def test_the_difference_begins_again_with_each_share_and_leaves_out_requests_with_keys():
    found, first = FailureDifference(), releases.canary().running_canary
    found.take_in(summary(1, (900, 9), (100, 3)), first)
    keyed = summary(2)
    keyed.versions["2.0.0"] = VersionCounts(requests=50, failed=50, keyed=50, keyed_failed=50)
    found.take_in(keyed, first)
    assert (found.stable, found.candidate, found.number) == ((9, 900), (3, 100), 1)
    estimate, low, high = found.interval()
    assert math.isclose(estimate, 0.02)
    assert low < 0.02 < high
    second = first._replace(plan=first.plan.model_copy(update={"step_began_at": 5.0}))
    found.take_in(summary(3, (50, 0), (50, 0)), second)
    assert (found.stable, found.candidate, found.number) == ((0, 50), (0, 50), 2)


def test_states_and_documents_without_a_history_are_read():
    stored = after([summary(1, (90, 0), (10, 0))]).model_dump()
    for name in ("history", "difference"):
        del stored[name]
    assert Evidence.model_validate(stored).history.points == []
    assert CanaryDocument(id="m.2", status="running", statistics={"versions": {}}).history is None


def test_the_history_is_in_the_document_and_in_what_ends_the_canary():
    judge, release = Judge(Settings(), {}, {}, {}), releases.canary()
    for seq in range(1, 20):
        judge.take_in(summary(seq, (90, 1), (10, 0)), release, float(seq))
    document = judge.release_document(release, 20.0)
    assert [each[0] for each in document["history"]["points"]] == [0, 5, 10, 15]
    difference = document["comparisons"]["errors"]["difference"]
    assert difference["low"] < difference["estimate"] < difference["high"]
    assert difference["margin"] == 0.05
    assert CanaryDocument(id=release.id, status="running", statistics=document).history == document["history"]
    ended = judge.closing(releases.command("rollback", trial=2), release)
    assert ended.evidence["history"] == document["history"]
    assert ended.evidence["versions"]["2.0.0"]["requests"] == 190
    other = releases.command("rollback", trial=1)
    assert judge.closing(other, release) is other
    assert judge.closing(other, releases.full()) is other


def test_the_chart_has_at_most_sixty_characters():
    assert chart([-1.0, 0.0, 5.0]) == "  @"
    assert len(chart([1.0] * 119)) == 60
