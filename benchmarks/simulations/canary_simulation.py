"""Simulated canaries: how often a good candidate is rolled back, and how many bad answers a bad one gives before it is.

200 requests/s, a tenth of them the candidate's, looked at every 250 ms for an hour. The sequential test is the one that the
judge uses, with its block rules; beside it stand a sliding-window threshold and a poll in the manner of Flagger, each as
people set them and again tuned, with knowledge of stable's failure rate, to 1 % false rollbacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from modelmesh.control_plane.judge.decision import limit_of
from modelmesh.control_plane.judge.error_evidence import BLOCK, BLOCK_WITH_FAILURE
from modelmesh.stats.two_sample import RATIOS
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

RATE = 200
LOOK_SECONDS = 0.25
SHARE = 0.1
HOUR = 3600
PER_LOOK = int(RATE * LOOK_SECONDS)
LOOKS = int(HOUR / LOOK_SECONDS)
CANARIES = 10_000
TUNING = 20_000
BAD_CANARIES = 2000
EQUAL_RATES = (0.001, 0.01, 0.05)
STABLE = 0.01
BAD_RATES = (0.02, 0.05, 0.1, 0.5)
ALPHA = 0.01
MINIMUM = 100  # of the candidate's requests, before a window counts
Say = Callable[[str], None]


def _log_choose(n: Any, k: Any) -> Any:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((k < 0) | (k > n), -np.inf, gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))


def _normalisers(total: int) -> NDArray[np.float64]:
    """By candidate's requests and failures in a block of so many: what each odds ratio's likelihood is divided by."""
    found = np.zeros((total + 1, total + 1, len(RATIOS)))
    k = np.arange(total + 1)
    for candidate in range(total + 1):
        for failed in range(total + 1):
            weights = _log_choose(candidate, k) + _log_choose(total - candidate, failed - k)
            central = logsumexp(weights)
            for number, ratio in enumerate(RATIOS):
                found[candidate, failed, number] = logsumexp(weights + k * math.log(ratio)) - central
    return found


class SequentialTest:
    """Many canaries at once, each with the judge's evidence."""

    def __init__(self, count: int, limit: float | None = None) -> None:
        assert BLOCK_WITH_FAILURE <= PER_LOOK < BLOCK == 2 * PER_LOOK
        self._tables = {total: _normalisers(total) for total in (PER_LOOK, 2 * PER_LOOK)}
        self._logs = np.zeros((count, len(RATIOS)))
        self._open = np.zeros((count, 4), dtype=np.int64)  # requests and failures, candidate's and all
        self._limit = limit_of("errors", ALPHA) if limit is None else limit
        self.highest = np.full(count, -np.inf)

    def look(self, candidate: Any, candidate_failed: Any, failed: Any) -> NDArray[np.bool_]:
        """Take in a look; return which are rolled back now."""
        self._open += np.column_stack([candidate, candidate_failed, np.full_like(candidate, PER_LOOK), failed])
        alarm = np.zeros(len(self._logs), dtype=bool)
        for total, table in self._tables.items():
            closing = (self._open[:, 2] == total) & ((self._open[:, 3] > 0) | (total == BLOCK))
            rows = np.flatnonzero(closing)
            if len(rows):
                block = self._open[rows]
                self._logs[rows] += block[:, 1:2] * np.log(RATIOS) - table[block[:, 0], block[:, 3]]
                evidence = logsumexp(self._logs[rows], axis=1) - math.log(len(RATIOS))
                self.highest[rows] = np.maximum(self.highest[rows], evidence)
                alarm[rows] = evidence >= self._limit
                self._open[rows] = 0
        return alarm


class SlidingWindow:
    """Roll back when the candidate's failure rate over the last `seconds` is above the limit."""

    def __init__(self, count: int, seconds: float, limit: float) -> None:
        self._looks = int(seconds / LOOK_SECONDS)
        self._ring = np.zeros((self._looks, 2, count), dtype=np.int32)
        self._sums = np.zeros((2, count), dtype=np.int64)
        self._number = 0
        self._limit = limit
        self.highest = np.zeros(count)

    def look(self, candidate: Any, candidate_failed: Any, failed: Any) -> NDArray[np.bool_]:
        """Take in a look; return which are rolled back now."""
        place = self._ring[self._number % self._looks]
        self._sums -= place
        place[0], place[1] = candidate, candidate_failed
        self._sums += place
        self._number += 1
        rate = np.where(self._sums[0] >= MINIMUM, self._sums[1] / np.maximum(1, self._sums[0]), 0.0)
        self.highest = np.maximum(self.highest, rate)
        return rate > self._limit


class Poll:
    """Look once a minute at that minute; roll back at the fifth look above the limit."""

    def __init__(self, count: int, limit: float, bad_looks: int = 5) -> None:
        self._limit = limit
        self._bad_looks = bad_looks
        self._sums = np.zeros((2, count), dtype=np.int64)
        self._bad = np.zeros(count, dtype=np.int64)
        self._number = 0
        self.rates: list[NDArray[np.float64]] = []

    def look(self, candidate: Any, candidate_failed: Any, failed: Any) -> NDArray[np.bool_]:
        """Take in a look; return which are rolled back now."""
        self._sums += np.stack([candidate, candidate_failed])
        self._number += 1
        if self._number % int(60 / LOOK_SECONDS):
            return np.zeros(len(self._bad), dtype=bool)
        rate = self._sums[1] / np.maximum(1, self._sums[0])
        self.rates.append(rate)
        self._sums[:] = 0
        self._bad += rate > self._limit
        return self._bad >= self._bad_looks


@dataclass
class Outcome:
    """What came of many canaries under one method: which were rolled back, after how many seconds and bad answers."""

    rolled_back: NDArray[np.bool_]
    seconds: NDArray[np.float64]
    bad: NDArray[np.int64]


def run(
    methods: dict[str, Any], count: int, stable: float, candidate: float, seed: int, looks: int = LOOKS
) -> dict[str, Outcome]:
    """Run the same canaries under each method."""
    random = np.random.default_rng(seed)
    found = {
        name: Outcome(np.zeros(count, bool), np.full(count, float(HOUR)), np.zeros(count, np.int64)) for name in methods
    }
    bad = np.zeros(count, dtype=np.int64)
    for number in range(1, LOOKS + 1):
        ours = random.binomial(PER_LOOK, SHARE, count)
        ours_failed = random.binomial(ours, candidate)
        theirs_failed = random.binomial(PER_LOOK - ours, stable)
        bad += ours_failed
        for name, method in methods.items():
            outcome = found[name]
            fired = method.look(ours, ours_failed, ours_failed + theirs_failed) & ~outcome.rolled_back
            outcome.rolled_back |= fired
            outcome.seconds[fired] = number * LOOK_SECONDS
            outcome.bad[fired] = bad[fired]
        if all(outcome.rolled_back.all() for outcome in found.values()):
            break
    for outcome in found.values():
        outcome.bad[~outcome.rolled_back] = bad[~outcome.rolled_back]
    return found


def simulate(say: Say) -> dict[str, Any]:
    """Run everything; return the figures by method."""
    test = SequentialTest(TUNING, math.inf)
    window, poll = SlidingWindow(TUNING, 60, 1.0), Poll(TUNING, 1.0)
    run({"test": test, "window": window, "poll": poll}, TUNING, STABLE, STABLE, seed=1)
    test_limit = float(np.quantile(test.highest, 1 - ALPHA, method="higher"))
    window_limit = float(np.quantile(window.highest, 1 - ALPHA, method="higher"))
    fifth_highest = np.sort(np.array(poll.rates), axis=0)[-5]
    poll_limit = float(np.quantile(fifth_highest, 1 - ALPHA, method="higher"))
    say(
        f"tuned on {TUNING} equal canaries: evidence {math.exp(test_limit):.0f} to 1, "
        f"window above {window_limit:.3%}, poll above {poll_limit:.3%}"
    )

    def methods(count: int) -> dict[str, Any]:
        return {
            "sequential test, as shipped": SequentialTest(count),
            "sequential test, tuned": SequentialTest(count, test_limit),
            "window of 60 s, above 5 %": SlidingWindow(count, 60, 0.05),
            "window of 60 s, tuned": SlidingWindow(count, 60, window_limit),
            "poll, 5 looks above 1 %": Poll(count, 0.01),
            "poll, tuned": Poll(count, poll_limit),
        }

    figures: dict[str, Any] = {
        "limits": {"evidence": math.exp(test_limit), "window": window_limit, "poll": poll_limit},
        "false": {},
        "bad": {},
    }
    for rate in EQUAL_RATES:
        outcomes = run(methods(CANARIES), CANARIES, rate, rate, seed=2)
        figures["false"][str(rate)] = {name: float(o.rolled_back.mean()) for name, o in outcomes.items()}
        say(f"both fail on {rate:.1%}, false rollbacks: {_words(figures['false'][str(rate)], '.2%')}")
    for rate in BAD_RATES:
        outcomes = run(methods(BAD_CANARIES), BAD_CANARIES, STABLE, rate, seed=3)
        figures["bad"][str(rate)] = {
            name: {
                "mean_bad": float(o.bad.mean()),
                "median_seconds": float(np.median(o.seconds)),
                "found": float(o.rolled_back.mean()),
            }
            for name, o in outcomes.items()
        }
        means = {name: found["mean_bad"] for name, found in figures["bad"][str(rate)].items()}
        say(f"candidate fails on {rate:.0%}, bad answers: {_words(means, '.1f')}")
    return figures


def _words(figures: dict[str, float], form: str) -> str:
    return ", ".join(f"{name} {value:{form}}" for name, value in figures.items())
