"""A worker's sample of rows: it always fits a record, and is enough to find drift in texts and images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from modelmesh.control_plane.judge.drift_watch import DriftWatch, take_in
from modelmesh.models.proof.profile import build_profile, columns_of
from modelmesh.schemas.payloads.observations import SUMMARY_BYTES, Summary, VersionCounts
from modelmesh.workers.observer import _fitting
from modelmesh.workers.watched_rows import MAX_BYTES, RAW_VALUES, WatchedRows

random = np.random.default_rng(0)
WORDS = {
    subject: np.array(["".join(chr(97 + letter) for letter in random.integers(0, 26, 6)) for _ in range(300)])
    for subject in ("sport", "money")
}
VOWELS = np.array(["".join(random.choice(list("aeiouäöü"), 5)) for _ in range(300)])


def articles(count, length=60, words=WORDS["sport"]):
    return np.array([" ".join(random.choice(words, length)) for _ in range(count)], dtype=object)


def images(count, shift=0.0, upside_down=False):
    ramp = np.linspace(0, 1, 16)[None, None, :, None]
    found = random.normal(size=(count, 3, 16, 16)) + (ramp[:, :, ::-1] if upside_down else ramp) + shift
    return found.astype(np.float32)


def summary(features, number):
    return Summary(
        model="m", trial=1, worker="w", epoch="e", seq=number, at=0.0,
        versions={"1.0.0": VersionCounts(requests=7)}, features={"1.0.0": features},
    )  # fmt: skip


def drift_of(first, then, *, windows=2, profile=None):
    """Send rows of `first`, from which a missing reference is learned, then of `then`; return the alarms of both."""
    watch, alarms, texts = DriftWatch(), ([], []), set()
    for number in range(12 + 8 * windows):
        source = first if number < 12 else then
        rows = WatchedRows()
        rows.add(source(250))
        found = rows.counts(profile) if profile is not None else rows.raw(texts)
        sent = Summary.model_validate_json(_fitting(summary(found, number)))
        news = take_in(watch, sent, "1.0.0", profile, window=1000, alarm=0.001)
        profile = profile or news.profile
        alarms[number >= 12].extend(news.alarm)
        assert len(watch.model_dump_json()) < 3_500_000
    assert profile is not None
    return alarms, profile


def text_inputs(make):
    return lambda count: {"article": make(count), "n": random.normal(size=count)}


CHANGES = {
    "subject": lambda count: articles(count, words=WORDS["money"]),
    "language": lambda count: articles(count, words=VOWELS),
    "length": lambda count: articles(count, length=40),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("given_reference", [True, False])
def test_other_articles_are_drift_and_similar_ones_are_not(change, given_reference):
    same = text_inputs(articles)
    reference = build_profile(columns_of(same(2000))) if given_reference else None
    (before, after), profile = drift_of(same, text_inputs(CHANGES[change]), profile=reference)
    assert not before
    assert any(found["feature"].startswith("article: ") for found in after), after
    assert {feature.of for feature in profile.features} == {"article", ""}


def test_a_unique_id_in_each_row_is_no_drift():
    ids = text_inputs(lambda count: np.array([random.bytes(16).hex() for _ in range(count)], dtype=object))
    (before, after), _ = drift_of(ids, ids, windows=3)
    assert not before + after
    given = build_profile(columns_of(ids(2000)))
    (before, after), _ = drift_of(ids, ids, windows=3, profile=given)
    assert not before + after


@pytest.mark.parametrize("change", [{"shift": 0.1}, {"upside_down": True}])
def test_images_that_change_are_drift(change):
    watched = [lambda count: {"x": images(100)}, lambda count: {"x": images(100, **change)}]
    same = build_profile(columns_of({"x": images(1000)}))
    (before, after), _ = drift_of(*watched, windows=4, profile=same)
    assert not before
    assert after


cells = st.sampled_from([None, "a", "b" * 65, "\0" * 90, "😀" * 70, "x" * 3_000_000])


@examples(max_examples=30, deadline=None)
@given(st.lists(st.lists(cells, min_size=1, max_size=4), min_size=1, max_size=4), st.integers(1, 30), st.booleans())
def test_a_summary_of_any_rows_fits_a_record(batches, columns, counted):
    rows = WatchedRows()
    for values in batches:
        inputs = {f"c{number}": np.array(values, dtype=object) for number in range(columns)}
        rows.add(inputs | {"wide": np.ones((len(values), 5000))})
    profile = build_profile(columns_of({"c0": np.array(["a", "b"], dtype=object)}))
    found = rows.counts(profile) if counted else rows.raw(set())
    value = _fitting(summary(found, 0))
    assert len(value) <= SUMMARY_BYTES
    assert Summary.model_validate_json(value).versions["1.0.0"].requests == 7


def test_raw_rows_that_do_not_fit_are_left_out_but_counts_are_kept():
    rows = WatchedRows()
    rows.add({f"c{number}": np.array(["\0" * 60] * 400, dtype=object) for number in range(128)})
    value = _fitting(summary(rows.raw(set()), 0))
    read = Summary.model_validate_json(value)
    assert len(value) <= SUMMARY_BYTES
    assert 0 < read.features["1.0.0"].rows < 400
    assert {len(column) for column in read.features["1.0.0"].columns} == {read.features["1.0.0"].rows}


def test_rows_are_kept_up_to_a_limit_and_the_first_always():
    rows = WatchedRows()
    for _ in range(20):
        rows.add({"x": np.zeros((4, MAX_BYTES // 8))})
    assert rows.raw(set()).rows == 1
    tabular = WatchedRows()
    for _ in range(50):
        tabular.add({"x": np.zeros((20, 30))})
    assert tabular._columns()[0][1].shape == (1000,)


def test_raw_rows_are_spread_evenly_and_few_enough_for_the_control_process():
    rows = WatchedRows()
    for begin in range(0, 1000, 20):
        rows.add({"x": np.arange(begin, begin + 20, dtype=float)[:, None] + np.zeros((1, 30))})
    found = rows.raw(set())
    assert (found.rows, found.rows * 30 <= RAW_VALUES) == (133, True)
    assert max(np.diff(found.columns[0])) <= 8
    assert found.columns[0][-1] > 985


def test_batches_of_different_shapes_are_kept():
    rows = WatchedRows()
    for side in (8, 16, 40):
        rows.add({"x": np.ones((2, 3, side, side))})
    assert rows.raw(set()).rows == 6
