"""The p-value of each score of a window against the reference: both are samples, and their rows may depend on each other.

Rows of one session, or of one hour, are alike: their mean varies more than that of as many independent rows, by a factor that
surveys call the design effect (Kish, "Survey sampling", 1965; Rao, Scott, "On chi-squared tests for multiway contingency
tables with cell proportions estimated from survey data", 1984). Counts are divided by it, and since it is an estimate with few
degrees of freedom, Student's t takes the place of the normal distribution (Student, "The probable error of a mean", 1908).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtri, stdtr

from .drift_scores import Floats, Scores

# Bins nearer than this to what is expected, in standard deviations, have p = 1: after the correction for the number of scores
# they would have it anyway, and the exact test costs time.
NEAR = 2.0
# Terms of a hypergeometric tail that are added up; the rest is bounded by a geometric series.
TERMS = 64
SMALLEST_P = 1e-300


def distances(scores: Scores, window: Floats) -> tuple[Floats, Floats]:
    """Return each score's distance from the reference in standard deviations of independent rows, and its variance in a row.

    `window`: counts, of shape (bins,). Scores that cannot vary, or have no rows, have a distance of 0.
    """
    n, m = scores.reference_rows, scores.rows(window)
    sums = scores.sums(window)
    both = np.maximum(n + m, 1)
    mean = (scores.reference + sums) / both
    variance = np.maximum((scores.reference_squares + scores.squares(window)) / both - mean**2, 0)
    used = (n > 0) & (m > 0) & (variance > 1e-12)
    error = np.sqrt(np.where(used, variance * (1 / np.maximum(n, 1) + 1 / np.maximum(m, 1)), 1))
    difference = sums / np.maximum(m, 1) - scores.reference / np.maximum(n, 1)
    return np.where(used, difference / error, 0.0), variance


def p_values(scores: Scores, window: Floats, effects: Floats, degrees: Floats) -> Floats:
    """Return each score's two-sided p-value, not corrected for the number of scores.

    `effects`: the design effects, at least 1; `degrees`: their degrees of freedom; all of shape (scores,).
    """
    z, _ = distances(scores, window)
    z = z / np.sqrt(effects)
    bins = scores.bins
    far = np.flatnonzero(np.abs(z[:bins]) > NEAR)
    z[:bins][np.abs(z[:bins]) <= NEAR] = 0
    if len(far):
        n, m = scores.reference_rows[far], scores.rows(window)[far]
        reference, factor = scores.expected(effects)
        a, b = reference[far], window[far]
        of_reference = effects[far] * factor[far]
        tail = tail_p(a / of_reference, n / of_reference, b / effects[far], m / effects[far])
        exact = -ndtri(np.clip(tail, SMALLEST_P, 0.5))
        distance = np.minimum(exact, _clustered(a / n, n / of_reference, b / m, m / effects[far]))
        # Fewer unseen values than expected are no change.
        fewer = reference[far] > scores.reference[far]
        z[far] = np.where(fewer & (b * n <= a * m), 0, distance)
    found: Floats = np.clip(2 * stdtr(degrees, -np.abs(z)), SMALLEST_P, 1)
    return found


def tail_p(a: Floats, n: Floats, b: Floats, m: Floats) -> Floats:
    """Return an upper bound of the hypergeometric tail from `a` of `n` on, if `b` of `m` are in the other sample.

    Fisher's exact test, one-sided, away from what is expected (Fisher, "The design of experiments", 1935), with counts that
    need not be whole. The terms' ratio falls towards the tail, so the last ratio bounds those that are not added up.
    """
    more = a * m > b * n
    # As few of the reference in the bin as `a`, or as few of the window as `b`.
    few, its, other = np.where(more, b, a), np.where(more, m, n), np.where(more, n, m)
    total = a + b
    k = few[:, None] - np.arange(TERMS, dtype=np.float64)
    possible = (k >= 0) & (total[:, None] - k <= other[:, None])
    k = np.where(possible, k, few[:, None]).astype(np.float64)
    logs = (
        _log_choose(its[:, None], k)
        + _log_choose(other[:, None], total[:, None] - k)
        - _log_choose(its + other, total)[:, None]
    )
    terms = np.where(possible, np.exp(np.minimum(logs, 0)), 0)
    ratio = np.minimum(terms[:, -1] / np.maximum(terms[:, -2], SMALLEST_P), 0.999)
    found: Floats = terms.sum(axis=1) + terms[:, -1] * ratio / (1 - ratio)
    return found


def _clustered(p: Floats, n: Floats, q: Floats, m: Floats) -> Floats:
    """Return the distance of shares `p` of `n` and `q` of `m` in standard deviations, for rows that come in clusters.

    The arcsine of the root has a variance that does not depend on the share (Anscombe, "The transformation of Poisson, binomial
    and negative-binomial data", 1948). For rare rows in clusters whose sizes vary as much as their mean (exponentially), its
    tail is theirs, which is longer than that of clusters of one size.
    """
    apart = np.abs(np.arcsin(np.sqrt(np.minimum(p, 1))) - np.arcsin(np.sqrt(np.minimum(q, 1))))
    found: Floats = 2 * apart / np.sqrt(1 / n + 1 / m)
    return found


def _log_choose(n: Floats, k: Floats) -> Floats:
    found: Floats = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return found


def feature_p(scores: Scores, ps: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return each feature's p-value, corrected for its scores and for the number of features (Bonferroni), and its score."""
    features = len(scores.tests)
    # Sorted by feature, then by p-value: the first of each feature is its smallest.
    order = np.lexsort((ps, scores.feature_of))
    first = np.searchsorted(scores.feature_of[order], np.arange(features))
    best = order[first]
    return np.minimum(1.0, ps[best] * scores.tests * features), best
