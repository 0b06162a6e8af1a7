"""Design effects: near 1 for independent rows, near the clusters' size for clusters, and untouched by a single change."""

import numpy as np
import pytest
from modelmesh.control_plane.judge import stream_variation
from modelmesh.control_plane.judge.stream_variation import StreamVariation, design_effects, largest_of
from modelmesh.stats.drift_scores import Scores
from modelmesh.stats.drift_tests import distances

BINS, BLOCK = 4, 100
SCORES = Scores([[1000] * BINS + [0]], [BINS])
LOCATION = BINS + 1


def effects_of(blocks, known=None):
    """The design effects after blocks of counts, eight a window."""
    known = known or StreamVariation()
    for first in range(0, len(blocks) - 7, 8):
        window = blocks[first : first + 8]
        for block in window:
            stream_variation.add_block(known, SCORES, block, int(block.sum()))
        total = np.sum(window, axis=0)
        stream_variation.close_window(known, SCORES, total)
        z, variance = distances(SCORES, total)
        stream_variation.note_window(known, SCORES, total, z, variance)
    return design_effects(known, SCORES, variance), known


def blocks_of(random, count, cluster=1, shares=(0.25,) * BINS):
    drawn = random.multinomial(BLOCK // cluster, shares, size=count) * cluster
    return np.column_stack([drawn, np.zeros(count)]).astype(float)


@pytest.mark.parametrize("cluster", [1, 5, 20])
def test_the_effect_is_the_size_of_the_clusters(cluster):
    (effects, degrees), _ = effects_of(blocks_of(np.random.default_rng(0), 8 * 60, cluster))
    assert effects[:BINS] == pytest.approx([cluster] * BINS, rel=0.35)
    assert effects[LOCATION] == pytest.approx(cluster, rel=0.35)
    assert np.all(degrees[:BINS] > 100)


def test_the_first_window_counts_little():
    (effects, degrees), _ = effects_of(blocks_of(np.random.default_rng(1), 8, 20))
    assert np.all(effects[:BINS] < 20)
    assert np.all(degrees < 16)


@pytest.mark.parametrize(("position", "most"), [(0, 2), (4, 8)])
def test_a_single_change_is_hardly_any_variation(position, most):
    """In the middle of a window it makes two steps between windows, of which one counts."""
    random = np.random.default_rng(2)
    before, after = blocks_of(random, 40 + position), blocks_of(random, 24 - position, shares=(0.7, 0.1, 0.1, 0.1))
    (effects, _), _ = effects_of(np.vstack([before, after]))
    assert np.all(effects < most)
    z, _ = distances(SCORES, after[-8:].sum(axis=0))
    assert z[0] / np.sqrt(effects[0]) > 8


def test_changes_that_come_back_again_and_again_are():
    random = np.random.default_rng(3)
    up, down = (blocks_of(random, 400, shares=shares) for shares in ((0.4, 0.2, 0.2, 0.2), (0.1, 0.3, 0.3, 0.3)))
    days = np.vstack([half[first : first + 80] for first in range(0, 400, 80) for half in (up, down)])
    (effects, _), _ = effects_of(days)
    assert effects[0] > 10
    rise = np.linspace(0.25, 0.6, 800)
    drawn = np.vstack([blocks_of(random, 1, shares=(share, *[(1 - share) / 3] * 3)) for share in rise])
    (effects, _), _ = effects_of(drawn)
    assert effects[0] < 2.5


def test_the_expected_largest_of_squares():
    random = np.random.default_rng(4)
    assert largest_of(7) == pytest.approx((random.normal(size=(100_000, 7)) ** 2).max(axis=1).mean(), rel=0.02)
    assert largest_of(1) == pytest.approx(1, rel=0.01)


def test_stored_numbers_are_read_as_they_were():
    _, known = effects_of(blocks_of(np.random.default_rng(5), 80))
    again = StreamVariation.model_validate_json(known.model_dump_json())
    assert again.within == pytest.approx(known.within, rel=1e-6)
    assert (again.degrees, again.windows) == (known.degrees, known.windows)
    assert again.model_dump_json() == known.model_dump_json()
