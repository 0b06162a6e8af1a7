"""Pair production's answers with the shadow's, and measure their differences. No I/O."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from ..models.proof.profile import count_labels, output_labels
from ..models.values.difference import Difference, difference
from ..schemas.errors import ShadowShed
from ..schemas.payloads.profiles import OutputBins
from ..schemas.records import Reply
from ..stats.intervals import wilson
from ..stats.log_histogram import Bins, add_value, percentiles

WORST = 20
# Seconds after which an answer without a partner counts as alone.
PAIR_TIMEOUT = 60.0
# The limit in bytes of answers that wait for a partner; beyond it the oldest count as alone.
WAITING_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class _Side:
    latency: Bins = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    errors: int = 0


class ShadowPairs:
    """The pairs of one trial; answers are counted by `bins`."""

    def __init__(self, bins: OutputBins | None = None) -> None:
        self._bins = bins
        self._waiting: OrderedDict[tuple[str, bool], tuple[float, Reply]] = OrderedDict()
        self._sides = {"production": _Side(), "shadow": _Side()}
        self._worst: list[tuple[float, dict[str, Any]]] = []
        self.copied = 0
        self.paired = 0
        self.shed = 0
        self.alone = 0
        self.agreed = 0
        self.compared = 0
        self.labels_changed = 0
        self._seen: OrderedDict[tuple[str, bool], float] = OrderedDict()
        self._waiting_bytes = 0

    def add(self, reply: Reply, now: float, *, shadow: bool) -> Difference | None:
        """Add an answer; return the difference if it completes a pair."""
        key = (reply.identity, shadow)
        if key in self._seen:
            return None  # a duplicate
        self._seen[key] = now
        self.copied += not shadow
        partner = self._waiting.pop((reply.identity, not shadow), None)
        if partner is None:
            self._waiting[key] = (now, reply)
            self._waiting_bytes += len(reply.body)
            while self._waiting_bytes > WAITING_BYTES:
                self._give_up_oldest()
            return None
        self._waiting_bytes -= len(partner[1].body)
        ours, theirs = (partner[1], reply) if shadow else (reply, partner[1])
        return self._pair(ours, theirs)

    def forget(self, now: float) -> None:
        """Drop answers whose partner has not come within the timeout."""
        while self._waiting and next(iter(self._waiting.values()))[0] < now - PAIR_TIMEOUT:
            self._give_up_oldest()
        while self._seen and next(iter(self._seen.values())) < now - 2 * PAIR_TIMEOUT:
            self._seen.popitem(last=False)

    def _give_up_oldest(self) -> None:
        _, (_, reply) = self._waiting.popitem(last=False)
        self._waiting_bytes -= len(reply.body)
        self.alone += 1

    def _pair(self, primary: Reply, shadow: Reply) -> Difference | None:
        answer, document = orjson.loads(primary.body), orjson.loads(shadow.body)
        if document.get("code") == ShadowShed.code:
            self.shed += 1
            return None
        self.paired += 1
        for name, reply in (("production", primary), ("shadow", shadow)):
            side = self._sides[name]
            add_value(side.latency, reply.seconds * 1000)
            if not reply.ok:
                side.errors += 1
        if not (primary.ok and shadow.ok):
            if primary.ok:
                self._keep(shadow.request_id, float("inf"), answer["outputs"], document.get("detail"))
            return None
        for name, outputs in (("production", answer["outputs"]), ("shadow", document["outputs"])):
            if self._bins is not None:
                arrays = {output: np.asarray(values) for output, values in outputs.items()}
                count_labels(self._sides[name].outputs, output_labels(self._bins, arrays))
        found = difference(answer["outputs"], document["outputs"])
        self.compared += 1
        self.agreed += found.agree
        self.labels_changed += found.label_changed
        if not found.agree:
            self._keep(primary.request_id, found.distance, answer["outputs"], document["outputs"])
        return found

    def _keep(self, request_id: str, distance: float, ours: Any, theirs: Any) -> None:
        if len(self._worst) == WORST and distance <= self._worst[-1][0]:
            return
        kept = {
            "request_id": request_id,
            "distance": None if distance == float("inf") else distance,
            "production": _short(ours),
            "shadow": _short(theirs),
        }
        self._worst.append((distance, kept))
        self._worst.sort(key=lambda pair: -pair[0])
        del self._worst[WORST:]

    def document(self) -> dict[str, Any]:
        """Return agreement with its 95 % interval, counts, the worst differences, and both sides' distributions."""
        return {
            "copied": self.copied,
            "paired": self.paired,
            "shed": self.shed,
            "alone": self.alone,
            "waiting": len(self._waiting),
            "agreement": self.agreed / self.compared if self.compared else None,
            "agreement_interval": wilson(self.agreed, self.compared),
            "labels_changed": self.labels_changed,
            "worst": [kept for _, kept in self._worst],
            "sides": {
                name: {
                    "errors": side.errors,
                    "outputs": side.outputs,
                    "latency_ms": percentiles(side.latency),
                }
                for name, side in self._sides.items()
            },
        }


def _short(value: Any) -> Any:
    """Return a value as it is, or its beginning: one image's outputs must not fill the page."""
    text = orjson.dumps(value)
    return value if len(text) <= 500 else text[:500].decode(errors="replace") + "..."
