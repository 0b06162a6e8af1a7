"""An experiment's results by variant, with 95 % intervals, and each variant's difference from the control."""

from __future__ import annotations

from typing import Any

from ...schemas.payloads.observations import VersionCounts
from ...schemas.payloads.releases import Variant
from ...stats.intervals import difference_interval, quantile_interval, wilson
from ...stats.log_histogram import PERCENTILES, quantile


def results(variants: tuple[Variant, ...], totals: dict[str, VersionCounts]) -> dict[str, Any]:
    """Return the results by variant's name; the first variant is the control."""
    control = totals.get(variants[0].version, VersionCounts())
    return {
        variant.name: _of_variant(variant, totals.get(variant.version, VersionCounts()), control)
        for variant in variants
    }


def _of_variant(variant: Variant, counts: VersionCounts, control: VersionCounts) -> dict[str, Any]:
    answers = sum(counts.outputs.values())
    document: dict[str, Any] = {
        "version": variant.version,
        "weight": variant.weight,
        "requests": counts.requests,
        "failed": counts.failed,
        "failure_rate": counts.failed / counts.requests if counts.requests else None,
        "failure_rate_interval": wilson(counts.failed, counts.requests),
        "latency_ms": {
            name: {"value": quantile(counts.latency, share), "interval": quantile_interval(counts.latency, share)}
            for name, share in PERCENTILES.items()
        },
        "outputs": {
            label: {"count": count, "share": count / answers, "interval": wilson(count, answers)}
            for label, count in sorted(counts.outputs.items(), key=lambda item: -item[1])
        },
    }
    if counts is not control:
        document["against_control"] = {
            "failure_rate": _difference(control.failed, control.requests, counts.failed, counts.requests),
            "outputs": {
                label: _difference(
                    control.outputs.get(label, 0), sum(control.outputs.values()), counts.outputs.get(label, 0), answers
                )
                for label in sorted(control.outputs.keys() | counts.outputs.keys())
            },
        }
    return document


def _difference(control_hits: int, control: int, hits: int, total: int) -> dict[str, Any]:
    known = bool(control and total)
    return {
        "difference": hits / total - control_hits / control if known else None,
        "interval": difference_interval((control_hits, hits), (control, total)),
    }
