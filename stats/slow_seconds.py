"""Is the candidate slow for seconds on end? A sequential test with one observation a second, however many requests are in it.

Requests of one second share its fate: a stall (garbage collection, a noisy neighbour) delays them all, so they are no
independent observations. A bucket of a second is therefore one bit of each arm: *slow*, if more of its requests exceed the
limit than chance would explain. Arms of different size are made comparable by samples of the smaller size, without drawing them:
the chance that such a sample is slow is hypergeometric. With equal arms both bits then have the same distribution.

Evidence is a weighted mean of test martingales (so it is one), by Ville's inequality above 1/alpha ever with a probability of
at most alpha (Ville, "Etude critique de la notion de collectif", 1939; Waudby-Smith, Ramdas, "Estimating means of bounded random
variables by betting", JRSS B 2024; Ramdas et al., "Game-theoretic statistics and safe anytime-valid inference", 2023).
If the candidate is no slower:

- `single` bets that seconds in which only the candidate is slow are more frequent than those in which only stable is.
  It assumes that either is equally likely. After such a second RUN - 1 seconds do not count: they may be the same stall.
- `lasting` bets that once only the candidate has been slow for RUN seconds (each other second takes one back), it stays so, and
  goes on while it has gained. It assumes that then an equal candidate alone is slow for another second with a probability of at
  most GOES_ON.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

# Seconds that one stall may make slow: a stall of two seconds touches three.
RUN = 3
GOES_ON = 1 / 8
# At most: after a longer run `lasting` must not lose its stake many times.
LONGEST_RUN = 5
# The stakes of `single`, averaged; and what remains of `lasting` after a second in which the candidate alone was not slow.
STAKES = (0.1, 0.3, 0.8)
_ENDED = 0.2
_WEIGHTS = (0.7, *(0.3 / len(STAKES),) * len(STAKES))
_LASTS = (1 - (1 - GOES_ON) * _ENDED) / GOES_ON
# A sample is slow if so many of it exceed the limit that chance gives that with at most this probability, and at least
# two: one request, or one user, makes no second slow.
CHANCE = 0.1
LEAST = 2


class Progress(NamedTuple):
    """The test's state: log capital of each bet, seconds on end in which only the candidate was slow, and seconds to skip."""

    single: tuple[float, ...] = (0.0,) * len(STAKES)
    lasting: float = 0.0
    run: float = 0.0
    skip: float = 0.0


@lru_cache(maxsize=4096)
def least_slow(requests: int, share: float) -> int:
    """Return the least k of at least LEAST with P(Binomial(requests, share) >= k) at most CHANCE."""
    below = 0.0
    for k in range(requests + 1):
        if 1 - below <= CHANCE:
            return max(LEAST, k)
        below += math.exp(_log_choose(requests, k) + k * math.log(share) + (requests - k) * math.log1p(-share))
    return requests + 1


@lru_cache(maxsize=4096)
def slow_probability(requests: int, above: int, sample: int, share: float) -> float:
    """Return the probability that a random sample of an arm's requests is slow, `above` of them being above the limit."""
    least = least_slow(sample, share)
    if above < least:
        return 0.0
    if sample == requests:
        return 1.0
    every = _log_choose(requests, sample)
    possible = range(max(least, sample - (requests - above)), min(sample, above) + 1)
    logs = (_log_choose(above, k) + _log_choose(requests - above, sample - k) - every for k in possible)
    return min(1.0, sum(map(math.exp, logs)))


def next_bucket(
    before: Progress, candidate: float, stable: float, *, seconds: float = 1.0, counts: bool = True
) -> Progress:
    """Return the state after a bucket of so many seconds, in which each arm was slow with these probabilities.

    Where not `counts`, the bucket is only part of a run: it is neither evidence for nor against.
    """
    only_candidate, only_stable = candidate * (1 - stable), stable * (1 - candidate)
    run = min(before.run + seconds, LONGEST_RUN) if only_candidate >= 0.5 else max(0.0, before.run - seconds)
    rest = max(0.0, before.skip - seconds)
    if not counts:
        return before._replace(run=run, skip=rest)
    lasting, single = before.lasting, before.single
    # Until what was gained is lost again: a stall that ended must not be held against the candidate for ever.
    if before.run >= RUN or before.lasting > 0:
        lasting += math.log(_ENDED + (_LASTS - _ENDED) * only_candidate)
    if not before.skip:
        gain = only_candidate - only_stable
        single = tuple(log + math.log1p(stake * gain) for log, stake in zip(single, STAKES, strict=True))
        rest = max(0.0, RUN - seconds) if max(only_candidate, only_stable) >= 0.5 else 0.0
    return Progress(single, lasting, run, rest)


def log_evidence(progress: Progress) -> float:
    """Return the log of the evidence against "the candidate is no slower"."""
    logs = (progress.lasting, *progress.single)
    top = max(logs)
    return top + math.log(sum(weight * math.exp(log - top) for weight, log in zip(_WEIGHTS, logs, strict=True)))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
