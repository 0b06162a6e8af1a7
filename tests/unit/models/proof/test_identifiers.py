"""Ids, keys and clocks are recognised; columns that only look a little like them are watched."""

import numpy as np
import pytest
from modelmesh.models.proof.identifiers import why_left_out
from modelmesh.models.proof.profile import build_profile

random = np.random.default_rng(0)
NUMBERS = np.arange(1000)
WORDS = np.array(["alpha", "beta gamma", "delta"], dtype=object)

LEFT_OUT = {
    "counter": 70_000 + NUMBERS,
    "shuffled counter": random.permutation(NUMBERS),
    "clock": 1.7e9 + np.cumsum(random.exponential(size=1000)),
    "shuffled clock in ms": random.permutation(1.7e12 + np.cumsum(random.integers(1, 10_000, 1000))),
    "key": np.array([f"order-{number:06d}" for number in NUMBERS], dtype=object),
    "random key": np.array([random.bytes(16).hex() for _ in NUMBERS], dtype=object),
}
WATCHED = {
    "normal": random.normal(size=1000),
    "prices": np.round(random.lognormal(3, 1, 1000), 2),
    "ages": random.integers(18, 90, 1000),
    "large whole numbers": random.integers(0, 10**7, 1000),
    "autocorrelated": np.cumsum(random.normal(size=1000)),
    "constant": np.full(1000, 3.0),
    "few rows that grow": np.arange(20.0),
    "missing": np.full(1000, np.nan),
    "categories": random.choice(WORDS, 1000),
    "names": np.array([f"{a}{b}" for a in "abcdefghij" for b in "abcdefghij"], dtype=object),
    "sentences with numbers": np.array([f"the number {number} is here" for number in NUMBERS], dtype=object),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_an_identifier_is_left_out_in_words(name):
    profile = build_profile([("id", LEFT_OUT[name]), ("x", WATCHED["normal"])])
    assert [feature.name for feature in profile.features] == ["x"]
    assert len(profile.left_out["id"]) > 10
    assert type(profile).model_validate_json(profile.model_dump_json()) == profile


@pytest.mark.parametrize("name", WATCHED)
def test_other_columns_are_watched(name):
    assert why_left_out(WATCHED[name]) == ""
    assert not build_profile([("x", WATCHED[name])]).left_out


def test_values_outside_the_range_have_bins_of_their_own():
    [feature] = build_profile([("x", WATCHED["normal"])]).features
    assert (feature.counts[0], feature.counts[-2], len(feature.counts)) == (0, 0, 23)
    [constant] = build_profile([("x", WATCHED["constant"])]).features
    assert constant.counts == (0, 1000, 0, 0)
