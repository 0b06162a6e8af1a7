"""The scores in which a window of rows is compared with the reference: numbers that are averaged over the rows.

Each bin is a score (1 if the row is in it: a category, the missing values, those outside the reference's range), and a number has
two more, its location and its spread: the first two Legendre polynomials of its rank among the reference rows, each with
variance 1 there (Neyman, "Smooth test for goodness of fit", 1937). All features' scores are one array: first the bins of all
features, then all locations, then all spreads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
WHOLE_FEATURE = ("location", "spread")


class Scores:
    """The scores of a reference. `counts` below are the bins of all features one after the other, of shape (bins,)."""

    def __init__(self, reference: Sequence[Sequence[int]], ordered: Sequence[int]) -> None:
        """`reference`: counts by feature and bin; `ordered`: each feature's number of leading bins in order, 0: categories."""
        sizes = np.array([len(counts) for counts in reference])
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
        in_order = np.concatenate([np.arange(size) < known for size, known in zip(sizes, ordered, strict=True)])
        self._feature_of_bin = np.repeat(np.arange(len(sizes)), sizes)
        self.feature_of = np.concatenate([self._feature_of_bin, *[np.arange(len(sizes))] * len(WHOLE_FEATURE)])
        counts = np.concatenate([np.asarray(feature, float) for feature in reference])
        self._weights = _polynomials(counts * in_order, self._starts, self._feature_of_bin) * in_order
        self._seen = self.reference = self.sums(counts)
        self.reference_rows = self.rows(counts)
        self.tests = sizes + np.where(np.asarray(ordered) > 0, len(WHOLE_FEATURE), 0)  # by feature
        self._categories = [
            (int(start), np.asarray(feature[:-2], float))
            for start, feature, known in zip(self._starts, reference, ordered, strict=True)
            if not known
        ]
        self.reference, _ = self.expected(np.ones(len(self._seen)))
        self.reference_squares = self.squares(counts) + (self.reference - self._seen)

    def expected(self, effects: Floats) -> tuple[Floats, Floats]:
        """Return each score's sum over the reference, and a factor on its design effect, with what is expected of unseen values.

        The probability that the next row is of a new category is about the share of categories seen once (Good, "The
        population frequencies of species and the estimation of population parameters", 1953), with a variance of
        (once + 2 twice) / rows^2 (Esty, "A normal limit law for a nonparametric estimator of the coverage", 1983). Where rows
        come in clusters, once means fewer than two clusters. `effects`: design effects, of shape (scores,).
        """
        reference, factor = self._seen.copy(), np.ones(len(effects))
        for start, counts in self._categories:
            unseen = start + len(counts)
            times = np.floor(counts / effects[unseen])
            once, twice = float(counts[(counts > 0) & (times <= 1)].sum()), float(np.sum(times == 2))
            reference[unseen] += once
            if once:
                factor[unseen] = 1 + 2 * twice * effects[unseen] / once
        return reference, factor

    def sums(self, counts: Floats) -> Floats:
        """Return the sum of each score over the rows."""
        return np.concatenate([counts, *(np.add.reduceat(counts * weight, self._starts) for weight in self._weights)])

    def squares(self, counts: Floats) -> Floats:
        """Return the sum of each score's square over the rows."""
        weighted = (np.add.reduceat(counts * weight**2, self._starts) for weight in self._weights)
        return np.concatenate([counts, *weighted])

    def rows(self, counts: Floats) -> Floats:
        """Return the number of rows that each score was counted over."""
        found: Floats = np.add.reduceat(counts, self._starts)[self.feature_of]
        return found

    @property
    def bins(self) -> int:
        """Number of bins of all features; the scores before this position are bins."""
        return len(self._feature_of_bin)


def _polynomials(counts: Floats, starts: NDArray[np.intp], feature_of: NDArray[np.intp]) -> Floats:
    """Return the polynomials at the middle rank of each bin, of shape (2, bins)."""
    rows = np.maximum(np.add.reduceat(counts, starts), 1)[feature_of]
    before = np.cumsum(counts) - counts
    rank = (before - before[starts][feature_of] + counts / 2) / rows
    return np.stack([np.sqrt(3) * (2 * rank - 1), np.sqrt(5) * (6 * rank**2 - 6 * rank + 1)])
