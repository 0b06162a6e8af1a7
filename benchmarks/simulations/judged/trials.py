"""Many simulated trials, each judged by the control plane's own evidence and decision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from modelmesh.control_plane.judge.decision import decide
from modelmesh.control_plane.judge.evidence import Evidence, take_in
from modelmesh.schemas.payloads.releases import CanaryPlan, RunningCanary
from modelmesh.schemas.payloads.rules import Rules
from modelmesh.schemas.trial_id import TrialId
from scipy.stats import beta

from .summaries import TRIAL, VERSIONS, summaries
from .traffic import Requests, Traffic, requests


@dataclass(frozen=True)
class Trials:
    """What came of trials: of those that were rolled back the seconds, the candidate's requests until then, and why."""

    trials: int
    seconds: tuple[float, ...]
    requests: tuple[int, ...]
    reasons: tuple[str, ...]

    @property
    def bound(self) -> float:
        """The upper 95 % bound of the share (Clopper, Pearson 1934, one-sided)."""
        count = len(self.seconds)
        return 1.0 if count == self.trials else float(beta.ppf(0.95, count + 1, self.trials - count))


def judged(traffic: Traffic, rules: Rules, trials: int, seed: int = 0) -> Trials:
    """Judge so many trials."""
    found = []
    for number in range(trials):
        random = np.random.default_rng([seed, number])
        ended = rolled_back(requests(traffic, random), traffic.share, rules, random)
        if ended:
            found.append((ended[0] - traffic.slow_from, *ended[1:]))
    seconds, counts, reasons = zip(*found, strict=True) if found else ((), (), ())
    return Trials(trials, seconds, counts, reasons)


def rolled_back(
    found: Requests, share: float, rules: Rules, random: np.random.Generator
) -> tuple[float, int, str] | None:
    """Return when a trial is rolled back, in seconds, after how many of the candidate's requests, and why; None if it is not."""
    canary = RunningCanary(TrialId("m", TRIAL), CanaryPlan(rules=rules), VERSIONS[0], VERSIONS[1])
    known = Evidence(trial=TRIAL)
    for at, summary in summaries(found, share, random):
        take_in(known, summary, canary)
        decided = decide(known, canary, at)
        if decided.kind == "rollback":
            return float(at), known.totals[VERSIONS[1]].requests, decided.reason
    return None
