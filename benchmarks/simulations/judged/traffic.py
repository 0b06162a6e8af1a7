"""Simulated requests of a canary: who asks, which version answers, how long it takes, and whether it fails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MEDIAN_MS, SPREAD = 10.0, 0.4  # log-normal: p95 is 1.9 times the median


@dataclass(frozen=True)
class Traffic:
    """What is simulated. Times in seconds, rates per second, shares and probabilities from 0 to 1."""

    rate: float = 100.0
    share: float = 0.1
    seconds: float = 60.0
    stable_fails: float = 0.0
    candidate_fails: float = 0.0
    both_fail: float = 0.0  # share of the requests that fail on any version
    slower: float = 1.0  # the candidate's factor
    slow_from: float = 0.0
    cold: float = 0.0  # seconds in which the candidate takes ten times as long
    stall: float = 0.0  # length of a stall of one version's process
    stall_every: float = 20.0
    slowdown: float = 0.0  # instead of standing still, a version is this many times slower during a stall
    users: int = 0  # 0: requests without a routing key
    zipf: float = 1.0
    user_error: float = 0.0  # mean of the users' own failure rates
    user_cost: float = 0.0  # spread (log-normal) of the users' own costs
    heavy: float = 0.0  # share of one user, who costs eight times as much and fails on a tenth
    load_falls: float = 0.0  # second in which the latency of both falls to a fifth
    # Length of a day: the latency of both goes up and down by half, and requests come three times as often at its peak.
    day: float = 0.0


@dataclass(frozen=True)
class Requests:
    """One entry a request, in order of completion: seconds, version (1: candidate), ms, failed, on both, and user (-1: none)."""

    done: Floats
    candidate: NDArray[np.bool_]
    ms: Floats
    failed: NDArray[np.bool_]
    shared: NDArray[np.bool_]
    user: NDArray[np.int64]


def requests(traffic: Traffic, random: np.random.Generator) -> Requests:
    """Draw one trial."""
    count = random.poisson(traffic.rate * traffic.seconds)
    at = np.sort(random.uniform(0, traffic.seconds, count))
    height = np.sin(2 * np.pi * at / traffic.day) if traffic.day else np.zeros(count)
    if traffic.day:  # thinned: the rate is that of the peak, and a third of it remains at the bottom
        kept = random.random(count) < (2 + height) / 3
        at, height = at[kept], height[kept]
        count = len(at)
    user = _users(traffic, random, count)
    arms = random.random(max(1, traffic.users)) < traffic.share
    candidate = arms[user] if traffic.users else random.random(count) < traffic.share
    ms = MEDIAN_MS * np.exp(SPREAD * random.normal(size=count))
    rate = np.zeros(count)
    if traffic.users:
        cost = np.exp(traffic.user_cost * random.normal(size=traffic.users))
        own = np.minimum(0.5, random.gamma(0.5, 2 * traffic.user_error, traffic.users)) if traffic.user_error else None
        if traffic.heavy:
            cost[0] = 8.0
            rate[user == 0] = 0.1
        ms *= cost[user]
        rate += own[user] if own is not None else 0.0
    ms *= 1 + height / 2
    if traffic.load_falls:
        ms[at > traffic.load_falls] /= 5
    ms[candidate & (at >= traffic.slow_from)] *= traffic.slower
    ms[candidate & (at < traffic.cold)] *= 10
    for arm in (False, True):
        if traffic.stall:
            waits = np.where(candidate == arm, _stalled(traffic, random, at), 0.0)
            ms = np.where(waits > 0, ms * traffic.slowdown, ms) if traffic.slowdown else ms + 1000 * waits
    shared = random.random(count) < traffic.both_fail
    rate = np.maximum(rate, np.where(candidate, traffic.candidate_fails, traffic.stable_fails))
    failed = (random.random(count) < rate) | shared
    order = np.argsort(at + ms / 1000, kind="stable")
    if not traffic.users:
        user = np.full(count, -1)
    done = at + ms / 1000
    return Requests(done[order], candidate[order], ms[order], failed[order], shared[order], user[order])


def _users(traffic: Traffic, random: np.random.Generator, count: int) -> NDArray[np.int64]:
    if not traffic.users:
        return np.zeros(count, np.int64)
    weights = np.arange(1, traffic.users + 1) ** -traffic.zipf
    if traffic.heavy:
        weights[0] = weights[1:].sum() * traffic.heavy / (1 - traffic.heavy)
    return random.choice(traffic.users, count, p=weights / weights.sum())


def _stalled(traffic: Traffic, random: np.random.Generator, at: Floats) -> Floats:
    """Return how many seconds each request waits for the end of a stall; stalls come at random times."""
    starts = np.sort(random.uniform(0, traffic.seconds, random.poisson(traffic.seconds / traffic.stall_every)))
    if not len(starts):
        return np.zeros(len(at))
    before = np.searchsorted(starts, at, side="right") - 1
    waits: Floats = np.where(before >= 0, starts[before] + traffic.stall - at, 0.0)
    return np.maximum(0.0, waits)
