"""The split follows the weights, is sticky, and moves keys only to the variant whose weight was raised."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.router.assignment import assign, shadow_of
from modelmesh.schemas.payloads.releases import Release, Variant
from scipy.stats import binom

from ..releases import spec


def release(strategy="canary", salt="m.1", **weights):
    roles = {"stable": "stable", "candidate": "candidate", "shadow": "shadow"}
    versions = {f"{number}.0.0": spec(f"{number}.0.0") for number in range(1, len(weights) + 1)}
    variants = tuple(
        Variant(name=name, version=version, weight=weight, role=roles.get(name, "arm"))
        for version, (name, weight) in zip(versions, weights.items(), strict=True)
    )
    return Release(
        model="m", generation=1, strategy=strategy, variants=variants, versions=versions, salt=salt, updated_at=0.0
    )


def canary(share):
    return release(stable=1 - share, candidate=share)


@pytest.mark.parametrize("share", [0.001, 0.05, 0.1, 0.5, 0.99])
def test_100_000_keys_split_within_the_binomial_interval(share):
    count = sum(assign(canary(share), f"user-{number}").name == "candidate" for number in range(100_000))
    # Two-sided, one in 10,000. The keys are constant, so the test is deterministic.
    low, high = binom.interval(0.9999, 100_000, share)
    assert low <= count <= high


def test_several_arms_split_by_their_weights():
    arms = release("ab", a=0.2, b=0.3, c=0.5)
    for variant in arms.variants:
        count = sum(assign(arms, f"user-{number}").name == variant.name for number in range(100_000))
        low, high = binom.interval(0.9999, 100_000, variant.weight)
        assert low <= count <= high


@given(st.text(), st.lists(st.floats(0, 1), min_size=2, max_size=5).map(sorted))
def test_raising_the_share_only_moves_keys_to_the_candidate(key, shares):
    count = [assign(canary(share), key).name for share in shares]
    for before, after in pairwise(count):
        assert not (before == "candidate" and after == "stable")


@given(st.text())
def test_removing_an_arm_only_moves_its_own_keys(key):
    before = assign(release("ab", a=0.4, b=0.4, c=0.2), key).name
    after = assign(release("ab", a=0.4, b=0.4), key).name
    assert before in (after, "c")


@given(st.text(), st.floats(0, 1))
def test_the_same_key_gets_the_same_variant_in_every_router(key, share):
    first = canary(share)
    second = Release.model_validate_json(first.model_dump_json())
    assert assign(first, key) == assign(second, key)


def test_another_trial_splits_independently():
    keys = [f"user-{number}" for number in range(10_000)]
    both = sum(
        assign(release(salt=salt, stable=0.5, candidate=0.5), key).name
        == assign(release(salt="m.2", stable=0.5, candidate=0.5), key).name
        for salt in ("m.1",)
        for key in keys
    )
    low, high = binom.interval(0.9999, 10_000, 0.5)
    assert low <= both <= high


@given(st.text(), st.floats(0, 1))
def test_a_shadow_never_answers(key, weight):
    assert assign(release("shadow", stable=1.0, shadow=weight), key).name == "stable"


def test_the_share_of_copies_is_the_shadows_weight():
    copied = [shadow_of(release("shadow", stable=1.0, shadow=0.25), str(number)) for number in range(20_000)]
    low, high = binom.interval(0.9999, 20_000, 0.25)
    assert low <= sum(variant is not None for variant in copied) <= high
    assert shadow_of(release("shadow", stable=1.0, shadow=1.0), "r").name == "shadow"
    assert shadow_of(canary(0.5), "r") is None
