"""The drift alarm on streams: silent while they only vary in their own way, and soon after a change."""

import numpy as np
import pytest
from modelmesh.control_plane.judge.drift_watch import DriftWatch, take_in
from modelmesh.control_plane.judge.reference_learning import RETRY_AFTER
from modelmesh.models.proof.profile import build_profile, count_columns
from modelmesh.schemas.payloads.observations import FeatureCounts, Summary
from scipy.signal import lfilter

ALARM = 0.001
ROWS = 125
WINDOW = 8 * ROWS


def summary(found, number):
    return Summary(model="m", trial=1, worker="w", epoch="e", seq=number, at=0.0, features={"1": found})


def alarms_of(columns, profile, watch=None, first=0):
    """Send columns in summaries of ROWS rows; return the alarms by the window they came in, and the state."""
    watch, found = watch or DriftWatch(), []
    for number in range(len(columns[0][1]) // ROWS):
        part = [(name, values[number * ROWS : (number + 1) * ROWS]) for name, values in columns]
        counts = FeatureCounts(rows=ROWS, counts=count_columns(profile, part))
        news = take_in(watch, summary(counts, first + number), "1", profile, window=WINDOW, alarm=ALARM)
        found += [(number // 8, news.alarm)] if news.alarm else []
    return found, watch


def named(values):
    return [(f"x{number}", values[:, number]) for number in range(values.shape[1])]


def independent(random, rows):
    return named(random.normal(size=(rows, 5)))


def autocorrelated(random, rows):
    return named(lfilter([1], [1, -0.9], random.normal(size=(rows, 3)), axis=0))


def sessions(random, rows):
    return named(random.normal(size=(rows // 20 + 1, 3)).repeat(20, axis=0)[:rows].astype(float))


def users(random, rows):
    words = np.array([f"c{number}" for number in random.integers(0, 12, rows // 20 + 1)], dtype=object)
    return [("word", words.repeat(20)[:rows])]


@pytest.mark.parametrize("stream", [independent, autocorrelated, sessions, users])
@pytest.mark.parametrize("reference", [100, 1000, 5000])
def test_a_stream_that_does_not_change_raises_hardly_any_alarm(stream, reference):
    """At one alarm in 1,000 windows, three in these 120 have a chance of 1 in 4,000."""
    alarms = 0
    for seed in range(8):
        random = np.random.default_rng(seed)
        found, watch = alarms_of(stream(random, 15 * WINDOW), build_profile(stream(random, reference)))
        alarms += len(found)
        assert watch.windows == 15
    assert alarms <= 2


def test_what_a_window_is_made_of_is_said():
    random = np.random.default_rng(0)
    _, watch = alarms_of(sessions(random, 10 * WINDOW), build_profile(sessions(random, 5000)))
    assert all(feature["design_effect"] > 5 for feature in watch.features)
    _, watch = alarms_of(independent(random, 10 * WINDOW), build_profile(independent(random, 5000)))
    assert all(feature["design_effect"] < 2.5 for feature in watch.features)


def with_column(values, random):
    return [("c", values), ("x", random.normal(size=len(values)))]


CHANGES = {
    "a constant goes down": (lambda random, rows: np.full(rows, 3.0), lambda random, rows: np.full(rows, 2.0)),
    "a constant goes up": (lambda random, rows: np.full(rows, 3.0), lambda random, rows: np.full(rows, 4.0)),
    "missing": (
        lambda random, rows: random.normal(size=rows),
        lambda random, rows: np.where(random.random(rows) < 0.05, np.nan, random.normal(size=rows)),
    ),
    "outside": (
        lambda random, rows: random.normal(size=rows),
        lambda random, rows: np.where(random.random(rows) < 0.03, 30.0, random.normal(size=rows)),
    ),
    "spread": (
        lambda random, rows: random.normal(size=rows),
        lambda random, rows: random.normal(0, 1.5, size=rows),
    ),
    "location": (
        lambda random, rows: random.normal(size=rows),
        lambda random, rows: random.normal(0.5, size=rows),
    ),
    "unseen": (
        lambda random, rows: random.choice(np.array(["a", "b"], dtype=object), rows),
        lambda random, rows: random.choice(np.array(["a", "b", "new"], dtype=object), rows, p=[0.48, 0.48, 0.04]),
    ),
}  # fmt: skip
WHAT = {
    "a constant goes down": {"values below the reference's", "values from 3 to 3", "location", "spread"},
    "a constant goes up": {"values above the reference's", "values from 3 to 3", "location", "spread"},
    "missing": {"missing values"},
    "outside": {"values above the reference's"},
    "location": {"location"},
    "unseen": {"unseen values"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_found_and_named(change):
    random = np.random.default_rng(1)
    before, after = CHANGES[change]
    profile = build_profile(with_column(before(random, 5000), random))
    found, watch = alarms_of(with_column(before(random, 4 * WINDOW), random), profile)
    assert not found
    found, watch = alarms_of(with_column(after(random, 3 * WINDOW), random), profile, watch, first=4 * 8)
    [(window, features)] = found
    assert window <= 1
    assert features[0]["feature"] == "c"
    assert features[0]["what"] in WHAT.get(change, {features[0]["what"]})
    assert watch.drifting


def test_a_slow_rise_does_not_excuse_itself():
    random = np.random.default_rng(2)
    values = random.normal(size=(30 * WINDOW, 2))
    values[:, 0] += np.arange(len(values)) / WINDOW * 0.03
    found, watch = alarms_of(named(values), build_profile(named(random.normal(size=(5000, 2)))))
    assert len(found) == 1
    assert watch.drifting


def test_a_wave_raises_alarms_only_until_it_is_known():
    random = np.random.default_rng(3)
    day = 40 * WINDOW
    values = random.normal(size=(6 * day, 1)) + 0.5 * np.sin(2 * np.pi * np.arange(6 * day) / day)[:, None]
    reference = random.normal(size=(5000, 1)) + 0.5 * np.sin(2 * np.pi * random.random((5000, 1)))
    found, _ = alarms_of(named(values), build_profile(named(reference)))
    assert found
    assert max(window for window, _ in found) < 3 * 40


def test_the_state_is_stored_and_read_without_a_difference_and_is_bounded():
    random = np.random.default_rng(4)
    profile = build_profile(named(random.normal(size=(2000, 100))))
    _, watch = alarms_of(named(random.normal(size=(WINDOW // 2 * 3, 100))), profile)
    again = DriftWatch.model_validate_json(watch.model_dump_json())
    more = named(random.normal(0.3, size=(2 * WINDOW, 100)))
    assert [window for window, _ in alarms_of(more, profile, watch, first=12)[0]] == [
        window for window, _ in alarms_of(more, profile, again, first=12)[0]
    ]
    size = len(watch.model_dump_json())
    assert len(watch.model_dump_json(exclude={"variation"})) < 100_000
    assert size < 250_000
    alarms_of(more, profile, watch, first=100)
    assert len(watch.model_dump_json()) < 1.1 * size


def test_large_summaries_are_judged_once_they_have_shown_how_much_the_stream_varies():
    random, watch = np.random.default_rng(7), DriftWatch()
    profile = build_profile(sessions(random, 5000))
    for number in range(60):
        counts = FeatureCounts(rows=WINDOW, counts=count_columns(profile, sessions(random, WINDOW)))
        assert not take_in(watch, summary(counts, number), "1", profile, window=WINDOW, alarm=ALARM).alarm
        assert (watch.windows > 0) == (number >= 7)
    assert watch.features[0]["design_effect"] > 5
    shifted = [(name, values + 2.0) for name, values in sessions(random, 2 * WINDOW)]
    counts = FeatureCounts(rows=2 * WINDOW, counts=count_columns(profile, shifted))
    news = [take_in(watch, summary(counts, 60 + n), "1", profile, window=WINDOW, alarm=ALARM).alarm for n in range(2)]
    assert any(news)


def test_other_bins_start_the_window_again():
    random = np.random.default_rng(5)
    one = build_profile(independent(random, 1000))
    other = build_profile(named(random.integers(0, 5, (1000, 5)).astype(float)))
    _, watch = alarms_of(independent(random, WINDOW), one)
    _, watch = alarms_of(independent(random, WINDOW // 8), other, watch, first=8)
    assert (watch.newer_rows, watch.older_rows) == (ROWS, 0)


def raw(random, rows, number):
    return summary(FeatureCounts(rows=rows, names=["x"], columns=[random.normal(size=rows).tolist()]), number)


def test_learning_stops_when_there_are_enough_rows_and_begins_again_if_the_reference_does_not_come():
    random, watch, profiles = np.random.default_rng(6), DriftWatch(), []
    for number in range(9 + RETRY_AFTER + 9):
        news = take_in(watch, raw(random, 125, number), "1", None, window=WINDOW, alarm=ALARM)
        profiles += [(number, news.profile.rows)] if news.profile else []
        assert len(watch.learning.parts) <= 8
    assert profiles == [(7, 1000), (7 + RETRY_AFTER + 8, 1000)]


def test_a_reference_of_ids_alone_leaves_nothing_to_watch():
    profile = build_profile([("id", np.arange(1000.0))])
    assert (profile.features, list(profile.left_out)) == ((), ["id"])
    counts = FeatureCounts(rows=100, counts=[])
    assert not take_in(DriftWatch(), summary(counts, 1), "1", profile, window=WINDOW, alarm=ALARM).alarm
