"""Hold, step up, promote or roll back: a pure function of a canary's evidence that also gives its reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from ...schemas.payloads.observations import VersionCounts
from ...schemas.payloads.releases import RunningCanary
from ...schemas.payloads.rules import Rules
from ...stats.intervals import binomial_tail, difference_interval, wilson
from ...stats.log_histogram import percentiles
from .accuracy_decision import labelled_figures, not_within_margin, worse_in_words
from .evidence import Evidence

# Shares of the false-alarm probability alpha; they add up to 1, so that all comparisons together stay within alpha.
ALPHA_SHARES = {
    "errors": 0.35,
    "p50": 0.1,
    "p95": 0.2,
    "p99": 0.05,
    "outputs": 0.1,
    "pairs": 0.1,
    "accuracy": 0.1,
}
# The threshold counts as exceeded if a candidate that fails just that often would show it with at most this probability. It
# is looked at with each summary: a thousand windows of an hour's canary are within 1 %.
THRESHOLD_CHANCE = 1e-5
# The confidence (one-sided) with which a candidate must be shown to be within the margin before a step.
STEP_CONFIDENCE = 0.95
# A candidate with evidence of more than this factor against it is not given more traffic.
SUSPICIOUS = math.log(5)


@dataclass(frozen=True)
class Hold:
    """Leave the canary as it is."""

    reason: str
    kind: ClassVar = "hold"


@dataclass(frozen=True)
class StepUp:
    """Raise the candidate's share to `percentage`."""

    reason: str
    evidence: dict[str, Any]
    percentage: float
    kind: ClassVar = "step"


@dataclass(frozen=True)
class Promote:
    """Send all traffic to the candidate."""

    reason: str
    evidence: dict[str, Any]
    kind: ClassVar = "promote"


@dataclass(frozen=True)
class Rollback:
    """Send all traffic to stable."""

    reason: str
    evidence: dict[str, Any]
    kind: ClassVar = "rollback"


@dataclass(frozen=True)
class Resume:
    """End a pause whose time is over; the next summary decides."""

    reason: str
    evidence: dict[str, Any]
    kind: ClassVar = "resume"


Decision: TypeAlias = Hold | StepUp | Promote | Rollback | Resume


# What a person can exclude from the decision. Another's limit stays as it is, so that its false-alarm probability does.
EXCLUDABLE = (*ALPHA_SHARES, "threshold", "drift")


def limit_of(what: str, alpha: float) -> float:
    """Return the log evidence at which a comparison decides."""
    return -math.log(alpha * ALPHA_SHARES[what])


def decide(evidence: Evidence, canary: RunningCanary, now: float) -> Decision:
    """Return what to do with a canary."""
    plan = canary.plan
    if evidence.trial != canary.id.number:
        return Hold("nothing is known of this canary yet")
    if (pause := plan.overrides.paused) is not None:
        if pause.is_over(now):
            return Resume(f"the time of the pause is over: paused {pause}", figures(evidence, canary))
        return Hold(f"the judge is paused {pause}")
    reasons = reasons_against(evidence, canary)
    if reasons:
        return Rollback("; ".join(reasons), figures(evidence, canary))
    held_by_pairs = plan.rules.on_disagreement == "hold" and "pairs" not in plan.overrides.excluded
    if held_by_pairs and pairs_differ(evidence, canary):
        return Hold(
            f"{evidence.pairs.in_words()}: it gets no more until a person raises its share, promotes or rolls back"
        )
    if not plan.steps:
        return Hold("a person decides when it gets more")
    stage = plan.steps[plan.step]
    if (held := plan.overrides.held) is not None and not held.is_over(now):
        return Hold(f"the step is held {held}")
    in_step = evidence.in_step if evidence.step == plan.step else 0
    if now - plan.step_began_at < stage.hold_seconds:
        return Hold(f"{stage.percentage:g} % holds for {stage.hold_seconds:g} s")
    if in_step < plan.rules.min_requests:
        return Hold(f"{in_step} of {plan.rules.min_requests} requests in this step")
    suspicions = {"errors": evidence.errors.suspicion, "accuracy": evidence.accuracy.suspicion}
    suspicions |= {name: t.log for name, t in evidence.latency.tails.items()}
    worst = max((log for what, log in suspicions.items() if what not in plan.overrides.excluded), default=0.0)
    if worst > SUSPICIOUS:
        return Hold(f"evidence against it stands at {math.exp(worst):.1f} to 1: it gets no more for now")
    unknown = _not_within_margin(evidence, canary) or not_within_margin(evidence.accuracy, canary, STEP_CONFIDENCE)
    if unknown is not None:
        return Hold(unknown)
    reason = f"{in_step} requests at {stage.percentage:g} % for {now - plan.step_began_at:.0f} s, nothing against it"
    if plan.step + 1 == len(plan.steps):
        return Promote(reason, figures(evidence, canary))
    return StepUp(reason, figures(evidence, canary), plan.steps[plan.step + 1].percentage)


def reasons_against(evidence: Evidence, canary: RunningCanary) -> list[str]:
    """Return the reasons to roll back; empty if there are none."""
    rules, excluded = canary.plan.rules, canary.plan.overrides.excluded
    ours = evidence.totals.get(canary.candidate, VersionCounts())
    theirs = evidence.totals.get(canary.stable, VersionCounts())
    reasons = []
    strength = evidence.errors.log
    if strength >= limit_of("errors", rules.alpha) and "errors" not in excluded:
        reasons.append(
            f"it fails more often than stable: {_share(ours)} against {_share(theirs)}, evidence {_odds(strength)} to 1 "
            f"(unit: {evidence.errors.unit})"
        )
    if rules.latency_tolerance is not None:
        tails = [name for name in evidence.latency.tails if name not in excluded]
        reasons += [reason for name in tails if (reason := _slow(evidence, name, rules))]
    if rules.auto_rollback_threshold is not None and "threshold" not in excluded:
        requests, failed = (sum(counts) for counts in list(zip(*evidence.recent, strict=True))[1:] or ((), ()))
        if requests >= rules.min_requests and failed > rules.auto_rollback_threshold * requests:
            chance = binomial_tail(failed, requests, rules.auto_rollback_threshold)
            if chance <= THRESHOLD_CHANCE:
                reasons.append(
                    f"{failed} of its {requests} requests in {rules.window_seconds:g} s failed, "
                    f"more than the threshold of {rules.auto_rollback_threshold:.1%}"
                )
    if rules.on_accuracy == "rollback" and "accuracy" not in excluded and less_accurate(evidence, canary):
        reasons.append(worse_in_words(evidence.accuracy))
    if rules.on_output_drift == "rollback" and "outputs" not in excluded and outputs_differ(evidence, canary):
        reasons.append(f"it answers differently from stable, evidence {_odds(evidence.outputs_log)} to 1")
    if rules.on_drift == "rollback" and evidence.drifted and "drift" not in excluded:
        reasons.append(f"the inputs drifted: {evidence.drifted}")
    if rules.on_disagreement == "rollback" and "pairs" not in excluded and pairs_differ(evidence, canary):
        reasons.append(
            f"{evidence.pairs.in_words()}, more than {rules.max_disagreement:.1%}, "
            f"evidence {_odds(evidence.pairs.strongest)} to 1"
        )
    return reasons


def _slow(evidence: Evidence, name: str, rules: Rules) -> str | None:
    """Return why a percentile is a reason to roll back; None if it is not."""
    tail = evidence.latency.tails[name]
    if tail.log < limit_of(name, rules.alpha):
        return None
    found, usual = evidence.latency.now(name)
    return (
        f"its {name} is more than {rules.latency_tolerance:g} times stable's: {found or 0:.1f} ms against {usual or 0:.1f} ms, "
        f"slower alone in {tail.slow:.0f} of {tail.seconds:.0f} seconds, evidence {_odds(tail.log)} to 1"
    )


def _not_within_margin(evidence: Evidence, canary: RunningCanary) -> str | None:
    """Return why the candidate isn't yet shown to fail at most the margin more often than stable; None if it is."""
    margin = canary.plan.rules.failure_margin
    if margin is None or "errors" in canary.plan.overrides.excluded:
        return None
    # Of the present step: with another share, an hour that was bad for both would weigh on one.
    (failed, requests), (stable_failed, stable_requests) = map(evidence.of_step, (canary.candidate, canary.stable))
    confidence = 2 * STEP_CONFIDENCE - 1
    if stable_requests:
        _, most = difference_interval((stable_failed, failed), (stable_requests, requests), confidence)
    else:
        _, most = wilson(failed, requests, confidence)
    if most < margin:
        return None
    return (
        f"not enough evidence yet for a step: after {requests} requests in this one its failure rate may be up to {most:.1%} "
        f"above stable's, and the margin is {margin:.1%}"
    )


def outputs_differ(evidence: Evidence, canary: RunningCanary) -> bool:
    """Whether the candidate's answers are distributed differently from stable's."""
    return evidence.outputs_log >= limit_of("outputs", canary.plan.rules.alpha)


def less_accurate(evidence: Evidence, canary: RunningCanary) -> bool:
    """Whether true labels show that the candidate is right less often than stable, or that its errors are larger."""
    return evidence.accuracy.log >= limit_of("accuracy", canary.plan.rules.alpha)


def pairs_differ(evidence: Evidence, canary: RunningCanary) -> bool:
    """Whether more of the candidate's answers than the rules allow differ from stable's to the same requests."""
    rules = canary.plan.rules
    return rules.max_disagreement is not None and evidence.pairs.strongest >= limit_of("pairs", rules.alpha)


def figures(evidence: Evidence, canary: RunningCanary) -> dict[str, Any]:
    """Return the evidence in numbers: odds against the candidate, the odds that decide, and both versions' counts."""
    rules, overrides = canary.plan.rules, canary.plan.overrides
    units = {"errors": evidence.errors.unit, "outputs": "requests"}
    for name, tail in evidence.latency.tails.items():
        units[name] = f"{evidence.latency.unit}: it alone was slow in {tail.slow:.0f} of {tail.seconds:.0f}"
    if rules.max_disagreement is not None:
        units["pairs"] = evidence.pairs.unit
    if (kind := evidence.accuracy.kind) is not None:
        units["accuracy"] = evidence.accuracy.unit
    comparisons: dict[str, dict[str, Any]] = {
        what: {
            "evidence": round(math.exp(min(strength, 100)), 3),
            "limit": round(math.exp(limit_of(what, rules.alpha)), 3),
            "unit": units[what],
            **({"excluded": str(overrides.excluded[what])} if what in overrides.excluded else {}),
        }
        for what, strength in evidence.logs.items()
        if what in units
    }
    comparisons["errors"]["difference"] = evidence.difference.document(rules.failure_margin)
    if kind is not None:
        comparisons["accuracy"]["versions"] = labelled_figures(evidence.accuracy, canary, kind)
    return {
        "comparisons": comparisons,
        "pairs": evidence.pairs.figures(rules),
        "versions": {version: version_figures(evidence, version) for version in (canary.stable, canary.candidate)},
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


def shown(decided: Decision) -> dict[str, str]:
    """Return a decision as JSON, without its evidence."""
    return {"kind": decided.kind, "reason": decided.reason}


def _share(counts: VersionCounts) -> str:
    share = counts.failed / counts.requests if counts.requests else 0.0
    return f"{counts.failed} of {counts.requests} ({share:.1%})"


def _odds(strength: float) -> str:
    return f"{math.exp(min(strength, 100)):.3g}"
