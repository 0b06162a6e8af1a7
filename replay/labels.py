"""Which of the recorded requests a label is about: the same rule as the inference log's."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple


class Answered(NamedTuple):
    """A request that was answered: its id, which others may have, and what is its alone; when, and who asked."""

    request_id: str
    identity: str
    at: float
    caller: str = ""


class Said(NamedTuple):
    """What was right, by request id; when that was said, and by whom. A table of truths was said after everything."""

    request_id: str
    values: Any
    at: float = math.inf
    caller: str = ""


def truths(answers: Iterable[Answered], said: Iterable[Said]) -> dict[str, Any]:
    """Return what was right by what is each request's alone; of what is said twice of one, the last word.

    Whoever said it means its own requests; if it has none under the id, and only one other caller does, then that one's. Of
    several requests it is about the newest that was there, and if none was, about the first after it.
    """
    by_id: dict[str, dict[str, list[Answered]]] = defaultdict(lambda: defaultdict(list))
    for answer in sorted(answers, key=lambda one: one.at):
        by_id[answer.request_id][answer.caller].append(answer)
    found: dict[str, Any] = {}
    for one in said:
        callers = by_id.get(one.request_id)
        if not callers or (one.caller not in callers and len(callers) > 1):
            continue
        candidates = callers[one.caller] if one.caller in callers else next(iter(callers.values()))
        before = [answer for answer in candidates if answer.at <= one.at]
        found[(before[-1] if before else candidates[0]).identity] = one.values
    return found


def identity_of(row: dict[str, Any]) -> str:
    """Return what is a replayed request's alone; rows that an earlier release wrote have their request id for it."""
    identity: str = row.get("nonce") or row["request_id"]
    return identity
