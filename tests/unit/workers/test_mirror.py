"""Stable is asked too for a share of a canary's requests, after the answer, and never at its cost."""

import asyncio
import time

import numpy as np
import orjson
import pytest
from modelmesh.models.values.bodies import parse_request
from modelmesh.schemas.errors import ModelFailed
from modelmesh.schemas.payloads.observations import KEY_UNITS, PairCounts
from modelmesh.schemas.records import PredictionRequest
from modelmesh.telemetry.bookkeeping import Bookkeeping
from modelmesh.workers.answer_pairs import MAX_CONFUSIONS, add_pair
from modelmesh.workers.mirror import MAX_WAITING, Mirror
from modelmesh.workers.versions.results import BatchRun

from ..releases import canary, full, spec


class Stable:
    """Stands for stable's runner."""

    def __init__(self):
        self.spec, self.idle, self.asked = spec("1.0.0"), True, []
        self.error = None

    async def predict_uncounted(self, inputs):
        self.asked.append(inputs["x"].tolist())
        if self.error is not None:
            raise self.error
        return {"label": (inputs["x"] > 0).astype(int)}


class Setup:
    def __init__(self, release=None):
        self.stable, self.counts, self.busy = Stable(), PairCounts(), False
        self.mirror = Mirror(
            lambda trial: self.counts, lambda: self.stable,
            is_busy=lambda: self.busy, keep_books=Bookkeeping(), draw=lambda: 0.0,
        )  # fmt: skip
        self.release = release or canary(mirror_share=1)
        self.mirror.follow(self.release)

    def run(self, rows, labels, *, trial=2, **options):
        """A batch of one request that the candidate has answered."""
        request = PredictionRequest(
            "r", "m", time.time() + 60, "replies", 0, orjson.dumps({"inputs": rows}),
            version="2.0.0", trial=trial, **options,
        )  # fmt: skip
        outputs = {"label": np.array(labels)}
        identity = self.release.identities.get("2.0.0", "other")
        self.mirror.take(
            BatchRun("2.0.0", trial, len(rows), 0.0, {}, outputs, [], [], identity, [(request, len(rows))])
        )

    async def until(self, condition):
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 - a stub's state
                await asyncio.sleep(0.005)


@pytest.fixture
async def setup():
    return Setup()


def test_the_body_is_read_as_stable_reads_it():
    assert parse_request(b'{"inputs": [1.0, 2.0]}', "application/json", spec("1.0.0").signature).rows == 2


async def test_one_row_of_a_request_is_compared(setup):
    setup.run([1.0, -1.0], [0, 0])
    setup.run([-1.0], [0])
    await setup.until(lambda: setup.counts.compared == 2)
    assert setup.stable.asked == [[1.0], [-1.0]]
    assert (setup.counts.differed, setup.counts.confusions) == (1, {"1 -> 0": 1})


async def test_nothing_is_asked_while_the_worker_is_busy_and_what_does_not_fit_is_dropped(setup):
    setup.busy = True
    for _ in range(MAX_WAITING + 3):
        setup.run([1.0], [1])
    assert setup.counts.dropped == 3
    setup.run([1.0] * 20_000, [1] * 20_000)
    assert setup.counts.dropped == 4
    assert setup.stable.asked == []
    setup.busy = False
    await setup.until(lambda: setup.stable.asked)
    setup.mirror.stop()


async def test_a_stable_that_fails_is_counted_and_left_alone_for_a_while(setup):
    setup.stable.error = ModelFailed("died")
    setup.run([1.0], [1])
    setup.run([1.0], [1])
    await setup.until(lambda: setup.counts.unanswered == 1)
    assert (len(setup.stable.asked), setup.counts.compared) == (1, 0)
    setup.mirror.stop()


async def test_an_unexpected_error_ends_only_its_own_comparison(setup):
    setup.stable.error = RuntimeError("unexpected")
    setup.run([1.0], [1])
    await setup.until(lambda: setup.stable.asked)
    setup.stable.error = None
    setup.run([1.0], [1])
    await setup.until(lambda: setup.counts.compared == 1)


async def test_only_a_running_canarys_own_first_attempts_are_mirrored(setup):
    setup.busy = True
    setup.run([1.0], [1], attempt=2)
    setup.run([1.0], [1], trial=0)
    assert not setup.mirror._waiting
    setup.run([1.0], [1])
    setup.mirror.follow(full(generation=3))
    assert not setup.mirror._waiting
    assert not setup.mirror.watches(setup.release.identities["2.0.0"])
    assert not Setup(canary(mirror_share=0)).mirror.watches(setup.release.identities["2.0.0"])


def pair(ours, theirs, key="", counts=None, tolerance=0.01):
    counts = counts or PairCounts()
    stable, candidate = ({name: np.array(values) for name, values in one.items()} for one in (ours, theirs))
    add_pair(counts, stable, candidate, tolerance, key)
    return counts


def test_labels_agree_by_value_and_type():
    assert pair({"label": [1]}, {"label": [1.0]}).differed == 0
    assert pair({"label": [1]}, {"label": ["1"]}).confusions == {"1 (int) -> 1 (str)": 1}
    assert pair({"label": [1]}, {"label": [True]}).differed == 1
    assert pair({"label": ["a"]}, {"label": ["b"]}).confusions == {"a -> b": 1}


def test_numbers_agree_within_the_tolerance_and_their_distances_are_described():
    assert pair({"value": [100.0]}, {"value": [100.9]}).differed == 0
    assert pair({"value": [100.0]}, {"value": [102.0]}).differed == 1
    assert pair({"value": [100.0]}, {"value": [102.0]}, tolerance=0.05).differed == 0
    assert pair({"value": [np.nan]}, {"value": [np.nan]}).differed == 0
    assert pair({"value": [np.nan]}, {"value": [1.0]}).gaps == {}
    found = pair({"label": [1], "probabilities": [[0.1, 0.9]]}, {"label": [1], "probabilities": [[0.3, 0.7]]})
    assert (found.differed, found.gaps["probabilities"].largest) == (0, pytest.approx(0.2))
    assert pair({"value": [1.0]}, {"value": [[1.0, 2.0]]}).differed == 1, "another shape"


def test_of_a_key_the_first_pair_is_the_observation_and_the_counts_are_bounded():
    counts = PairCounts()
    pair({"label": [0]}, {"label": [1]}, "ann", counts)
    pair({"label": [0]}, {"label": [0]}, "ann", counts)
    assert list(counts.units.values()) == [True]
    for number in range(5000):
        pair({"label": [0]}, {"label": [number + 1]}, f"user {number}", counts)
    assert len(counts.units) <= KEY_UNITS
    assert len(counts.confusions) == MAX_CONFUSIONS + 1
