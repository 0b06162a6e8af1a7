"""How much a stream varies by itself while its distribution stays the same, in each score: design effects.

Three scales, of which the largest effect counts:

- from one block of rows to the next, eight blocks a window: the squared difference of their means, compared with that of
  independent rows. This finds sessions and autocorrelation over fewer rows than a block, in the first window already. The
  largest of eight is left out, since it may be the change that is looked for. A score has at least the effect
  of its feature: a rare bin's own estimate, from few clusters of rows, may be far too small.
- from one window to the next: the same (von Neumann, "Distribution of the ratio of the mean square
  successive difference to the variance", 1941), which a slow drift hardly touches.
- over many windows: how far the windows went from the reference before they came back (a daily wave). What has not come back
  does not count, so a slow drift does not excuse itself.

Of a step, and of an excursion, no more counts than the largest one before it: what happened once does not hide the next.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import chi2

from ...schemas.payloads.packed import Packed, nothing
from ...stats.drift_scores import Floats, Scores

# Windows over which the estimates are averaged, about.
MEMORY = 300
# The estimates begin at a design effect of 1 with this weight, in degrees of freedom and in windows.
PRIOR = 8.0
# A quarter of a feature's degrees of freedom, of this many at most, count for each of its scores.
MOST_OF_FEATURE = 64.0
SMALLEST = 1e-12
# Differences of blocks of which the largest is left out, at least: those of a first window in eight blocks.
DIFFERENCES = 7
# Degrees of freedom of a squared difference: neighbours share a block, and the largest is left out.
EFFICIENCY = 0.6
# A single window's distance counts as at most so many standard deviations.
FARTHEST = 20.0


class StreamVariation(BaseModel):
    """The sums that the design effects are computed from: eleven numbers a score, however long the stream is."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    block: Packed = Field(default_factory=nothing, description="the mean of the last block")
    block_rows: int = 0
    differences: int = 0
    squares: Packed = Field(
        default_factory=nothing, description="of the window's differences, for independent rows its variance"
    )
    largest_square: Packed = Field(default_factory=nothing)
    within: Packed = Field(default_factory=nothing, description="of all windows' squares, without the largest")
    expected: Packed = Field(default_factory=nothing, description="the same, if rows were independent")
    degrees: float = 0.0
    last: Packed = Field(default_factory=nothing, description="the mean of the last window")
    largest_step: Packed = Field(default_factory=nothing)
    steps: Packed = Field(default_factory=nothing, description="half the squared steps, for independent rows about 1")
    excursion: Packed = Field(default_factory=nothing, description="squares since the last return, with their sign")
    largest: Packed = Field(default_factory=nothing, description="the largest excursion that returned")
    returned: Packed = Field(default_factory=nothing, description="squares of excursions that returned")
    windows: float = 0.0


def add_block(known: StreamVariation, scores: Scores, counts: Floats, rows: int) -> None:
    """Add a block of rows, as counts on the bins."""
    if len(known.within) != len(scores.feature_of):
        _begin(known, len(scores.feature_of))
    mean = scores.sums(counts) / np.maximum(scores.rows(counts), 1)
    if known.block_rows:
        square = (mean - known.block) ** 2 / (1 / rows + 1 / known.block_rows)
        known.squares = known.squares + square
        known.largest_square = np.maximum(known.largest_square, square)
        known.differences += 1
    known.block, known.block_rows = mean, rows


def _begin(known: StreamVariation, size: int) -> None:
    for name in ("block", "within", "expected", "largest_step", "steps", "excursion", "largest", "returned"):
        setattr(known, name, np.zeros(size))
    known.last = np.full(size, np.nan)
    known.squares, known.largest_square = np.zeros(size), np.zeros(size)
    known.block_rows, known.differences, known.degrees, known.windows = 0, 0, 0.0, 0.0


def close_window(known: StreamVariation, scores: Scores, window: Floats) -> None:
    """Count the differences of blocks up to the end of a window, once there are enough of them."""
    if known.differences < DIFFERENCES:
        return
    rows, sums = np.maximum(scores.rows(window), 1), scores.sums(window)
    variance = np.maximum(scores.squares(window) / rows - (sums / rows) ** 2, 0)
    kept, found = 1 - 1 / MEMORY, known.squares - known.largest_square
    known.within = kept * known.within + found
    known.expected = kept * known.expected + variance * (known.differences - largest_of(known.differences))
    known.degrees = kept * known.degrees + EFFICIENCY * (known.differences - 1)
    known.squares, known.largest_square = np.zeros(len(found)), np.zeros(len(found))
    known.differences = 0


@lru_cache(maxsize=256)
def largest_of(count: int) -> float:
    """Return the expected largest of `count` independent squares of standard normal numbers."""
    grid = np.linspace(0, 60, 6001)
    return float(np.trapezoid(1 - chi2.cdf(grid, 1) ** count, grid))


def design_effects(known: StreamVariation, scores: Scores, variance: Floats) -> tuple[Floats, Floats]:
    """Return each score's design effect and its degrees of freedom. `variance`: of a row, now."""
    if len(known.within) != len(variance):
        return np.ones(len(variance)), np.full(len(variance), PRIOR)
    of_feature = _of_feature(known, scores)
    # The more is known of a feature, the more its scores are taken to be like it.
    prior = PRIOR + np.minimum(known.degrees, MOST_OF_FEATURE) / 4
    informed = np.minimum(known.expected / np.maximum(variance, SMALLEST), known.degrees)
    ratio = known.within / np.maximum(known.expected, SMALLEST)
    within = np.maximum(of_feature, (prior * of_feature + informed * ratio) / (prior + informed))
    between = (PRIOR + np.maximum(known.returned, known.steps)) / (PRIOR + known.windows)
    return np.maximum(1.0, np.maximum(within, between)), prior + informed


def _of_feature(known: StreamVariation, scores: Scores) -> Floats:
    """Return for each score the effect of its feature: the largest of its location's, its spread's and its bins' mean effect."""
    of_bin, features = scores.feature_of[: scores.bins], len(scores.tests)
    of_bins = [np.bincount(of_bin, sums[: scores.bins], features) for sums in (known.within, known.expected)]
    of_whole = [sums[scores.bins :].reshape(-1, features) for sums in (known.within, known.expected)]
    within, expected = (np.vstack(pair) for pair in zip(of_bins, of_whole, strict=True))
    # A score that does not vary, as the location of categories, says nothing.
    degrees = np.where(expected > SMALLEST, known.degrees, 0)
    effects = (PRIOR + degrees * within / np.maximum(expected, SMALLEST)) / (PRIOR + degrees)
    found: Floats = np.maximum(1.0, effects.max(axis=0))[scores.feature_of]
    return found


def note_window(known: StreamVariation, scores: Scores, window: Floats, z: Floats, variance: Floats) -> None:
    """Note a judged window: `z` are its distances from the reference, in standard deviations of independent rows."""
    kept = 1 - 1 / MEMORY
    rows = scores.rows(window)
    mean = np.where(rows > 0, scores.sums(window) / np.maximum(rows, 1), np.nan)
    step = np.nan_to_num((mean - known.last) ** 2 * rows / np.maximum(2 * variance, SMALLEST))
    step = np.minimum(step, FARTHEST**2)
    known.steps = kept * known.steps + np.minimum(step, np.maximum(known.largest_step, 1))
    known.largest_step = np.maximum(step, kept * known.largest_step)
    known.last = mean
    back = z * known.excursion < 0
    energy = np.abs(known.excursion)
    known.returned = kept * known.returned + np.where(back, np.minimum(energy, known.largest), 0)
    known.largest = np.where(back, np.maximum(energy, kept * known.largest), kept * known.largest)
    known.excursion = np.where(back, 0, known.excursion) + np.sign(z) * np.minimum(np.abs(z), FARTHEST) ** 2
    known.windows = kept * known.windows + 1
