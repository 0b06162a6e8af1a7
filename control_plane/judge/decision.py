"""Hold, step up, promote or roll back: a pure function of a canary's evidence, with its reasons in words and numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from ...schemas.payloads.observations import VersionCounts
from ...schemas.payloads.releases import Release
from ...stats.intervals import wilson
from ...stats.log_histogram import percentiles, quantile
from ...stats.two_sample import log_evidence
from .evidence import TAILS, Evidence

DecisionKind = Literal["hold", "step", "promote", "rollback"]
# Shares of the false-alarm probability alpha; they add up to 1, so all comparisons together keep to alpha.
ALPHA_SHARES = {"errors": 0.4, "p95": 0.2, "p99": 0.2, "outputs": 0.2}
# A candidate with evidence of more than this factor against it is not given more traffic.
SUSPICIOUS = math.log(5)


@dataclass(frozen=True)
class Decision:
    """What to do with a canary, why, and the figures behind it."""

    kind: DecisionKind
    reason: str = ""
    percentage: float | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


def limit_of(what: str, alpha: float) -> float:
    """Return the log evidence at which a comparison decides."""
    return -math.log(alpha * ALPHA_SHARES[what])


def decide(evidence: Evidence, release: Release, now: float) -> Decision:
    """Return what to do with the canary of this release."""
    plan, candidate = release.canary, release.variant("candidate")
    if plan is None or candidate is None or evidence.trial != release.trial:
        return Decision("hold", "no canary is running")
    reasons = reasons_against(evidence, release)
    if reasons:
        return Decision("rollback", "; ".join(reasons), evidence=figures(evidence, release))
    if not plan.steps:
        return Decision("hold", "a person decides when it gets more")
    stage = plan.steps[plan.step]
    in_step = evidence.in_step if evidence.step == plan.step else 0
    if now - plan.step_began_at < stage.hold_seconds:
        return Decision("hold", f"{stage.percentage:g} % holds for {stage.hold_seconds:g} s")
    if in_step < plan.rules.min_requests:
        return Decision("hold", f"{in_step} of {plan.rules.min_requests} requests in this step")
    worst = max(log_evidence(evidence.errors.logs), *(log_evidence(tail.logs) for tail in evidence.tails.values()))
    if worst > SUSPICIOUS:
        return Decision("hold", f"evidence against it stands at {math.exp(worst):.1f} to 1: it gets no more for now")
    reason = f"{in_step} requests at {stage.percentage:g} % for {now - plan.step_began_at:.0f} s, nothing against it"
    if plan.step + 1 == len(plan.steps):
        return Decision("promote", reason, evidence=figures(evidence, release))
    return Decision("step", reason, plan.steps[plan.step + 1].percentage, figures(evidence, release))


def reasons_against(evidence: Evidence, release: Release) -> list[str]:
    """Return why the candidate must go; nothing while there is no reason."""
    plan, candidate = release.canary, release.variant("candidate")
    assert plan is not None
    assert candidate is not None
    rules = plan.rules
    ours = evidence.totals.get(candidate.version, VersionCounts())
    theirs = evidence.totals.get(release.stable.version, VersionCounts())
    reasons = []
    strength = log_evidence(evidence.errors.logs)
    if strength >= limit_of("errors", rules.alpha):
        reasons.append(
            f"it fails more often than stable: {_share(ours)} against {_share(theirs)}, evidence {_odds(strength)} to 1"
        )
    if rules.latency_tolerance is not None:
        for name, share in TAILS.items():
            strength = log_evidence(evidence.tails[name].logs)
            if strength >= limit_of(name, rules.alpha):
                found, usual = quantile(ours.latency, share), quantile(theirs.latency, share)
                reasons.append(
                    f"its {name} is more than {rules.latency_tolerance:g} times stable's: "
                    f"{found or 0:.1f} ms against {usual or 0:.1f} ms, evidence {_odds(strength)} to 1"
                )
    if rules.auto_rollback_threshold is not None:
        requests, failed = (sum(counts) for counts in list(zip(*evidence.recent, strict=True))[1:] or ((), ()))
        if requests >= rules.min_requests and failed > rules.auto_rollback_threshold * requests:
            reasons.append(
                f"{failed} of its {requests} requests in {rules.window_seconds:g} s failed, "
                f"more than the threshold of {rules.auto_rollback_threshold:.1%}"
            )
    if rules.on_output_drift == "rollback" and outputs_differ(evidence, release):
        reasons.append(f"it answers differently from stable, evidence {_odds(evidence.outputs_log)} to 1")
    return reasons


def outputs_differ(evidence: Evidence, release: Release) -> bool:
    """Whether the candidate's answers are distributed differently from stable's."""
    return release.canary is not None and evidence.outputs_log >= limit_of("outputs", release.canary.rules.alpha)


def figures(evidence: Evidence, release: Release) -> dict[str, Any]:
    """Return the evidence in numbers: odds against the candidate, the odds that decide, and both versions' counts."""
    assert release.canary is not None
    rules = release.canary.rules
    strengths = {
        "errors": log_evidence(evidence.errors.logs),
        **{name: log_evidence(tail.logs) for name, tail in evidence.tails.items()},
        "outputs": evidence.outputs_log,
    }
    return {
        "comparisons": {
            what: {
                "evidence": round(math.exp(min(strength, 100)), 3),
                "limit": round(math.exp(limit_of(what, rules.alpha)), 3),
            }
            for what, strength in strengths.items()
        },
        "versions": {variant.version: version_figures(evidence, variant.version) for variant in release.variants},
    }


def version_figures(evidence: Evidence, version: str) -> dict[str, Any]:
    """Return one version's counts, failure rate with its 95 % interval, and latency in ms."""
    counts = evidence.totals.get(version, VersionCounts())
    low, high = wilson(counts.failed, counts.requests)
    return {
        "requests": counts.requests,
        "failed": counts.failed,
        "late": counts.late,
        "failure_rate": counts.failed / counts.requests if counts.requests else None,
        "failure_rate_interval": [low, high],
        "latency_ms": percentiles(counts.latency),
        "errors": counts.errors,
    }


def _share(counts: VersionCounts) -> str:
    share = counts.failed / counts.requests if counts.requests else 0.0
    return f"{counts.failed} of {counts.requests} ({share:.1%})"


def _odds(strength: float) -> str:
    return f"{math.exp(min(strength, 100)):.3g}"
