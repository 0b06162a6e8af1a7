"""Match labels with recorded requests, by the same rule as the inference log."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple


class AnsweredRequest(NamedTuple):
    """An answered request: its id, which need not be unique, its unique identity, the time of the answer, and the caller."""

    request_id: str
    identity: str
    at: float
    caller: str = ""


class TimedLabel(NamedTuple):
    """The true values for a request id, when they were sent, and by whom. Labels from a file count as the latest."""

    request_id: str
    values: Any
    at: float = math.inf
    caller: str = ""


def match_labels(answers: Iterable[AnsweredRequest], labels: Iterable[TimedLabel]) -> dict[str, Any]:
    """Return the true values by request identity. Of several labels for one request the last one counts.

    A label belongs to a request of its own caller; if the caller has none under the id, and exactly one other caller does, to
    that caller's. Of several requests, it belongs to the newest that was answered before it, or else to the first after it.
    """
    by_id: dict[str, dict[str, list[AnsweredRequest]]] = defaultdict(lambda: defaultdict(list))
    for answer in sorted(answers, key=lambda one: one.at):
        by_id[answer.request_id][answer.caller].append(answer)
    found: dict[str, Any] = {}
    for label in labels:
        callers = by_id.get(label.request_id)
        if not callers or (label.caller not in callers and len(callers) > 1):
            continue
        candidates = callers[label.caller] if label.caller in callers else next(iter(callers.values()))
        before = [answer for answer in candidates if answer.at <= label.at]
        found[(before[-1] if before else candidates[0]).identity] = label.values
    return found


def identity_of(row: dict[str, Any]) -> str:
    """Return a row's unique identity: its nonce, or the request id in rows that an earlier release wrote."""
    identity: str = row.get("nonce") or row["request_id"]
    return identity
