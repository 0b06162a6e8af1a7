"""Learn a version's reference from its first rows, at a bounded cost for each summary.

Rows are kept as the text they are stored as and parsed once, when there are enough. Then they are dropped; should the reference
not arrive (its command was lost), learning starts again after RETRY_AFTER more summaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from pydantic import BaseModel, Field

from ...models.proof.profile import LEARNED_VALUES, STRING_WEIGHT, build_profile
from ...schemas.payloads.observations import FeatureCounts
from ...schemas.payloads.profiles import Profile

RETRY_AFTER = 100
Column = Sequence[float | str | None]


class Learning(BaseModel):
    """The first rows: at most LEARNED_VALUES values."""

    names: list[str] = Field(default_factory=list)
    parts: list[str] = Field(default_factory=list, description="a summary's columns each, as JSON")
    rows: int = 0
    weight: int = 1
    since: int | None = Field(default=None, description="summaries since the reference was proposed")


def learn(known: Learning, found: FeatureCounts, window: int) -> Profile | None:
    """Add a summary's raw rows; return the reference once there are `window` rows, or as many as may be kept."""
    if not found.columns or len(found.columns) != len(found.names) or _waits(known):
        return None
    if known.names and known.names != found.names:
        # A worker saw a long text and sends measures of that column from now on; the other workers will follow.
        if len(found.names) <= len(known.names):
            return None
        known.parts, known.rows, known.weight = [], 0, 1
    known.names = found.names
    known.weight = max(known.weight, sum(map(_weight, found.columns)))
    wanted = max(1, min(window, LEARNED_VALUES // known.weight))
    columns = [column[: wanted - known.rows] for column in found.columns]
    known.parts.append(orjson.dumps(columns).decode())
    known.rows += len(columns[0])
    if known.rows < wanted:
        return None
    profile = _profile(known, found.measured)
    known.parts, known.since = [], 0
    return profile


def _waits(known: Learning) -> bool:
    """Whether a reference was proposed lately; counts the summary."""
    if known.since is None:
        return False
    known.since += 1
    if known.since <= RETRY_AFTER:
        return True
    known.since, known.rows = None, 0
    return False


def _profile(known: Learning, measured: dict[str, str]) -> Profile | None:
    parts: list[list[Column]] = [orjson.loads(part) for part in known.parts]
    columns = [
        (name, _array([value for part in parts for value in part[number]])) for number, name in enumerate(known.names)
    ]
    profile = build_profile(columns, "live")
    if profile is None or not measured:
        return profile
    features = [
        feature.model_copy(update={"of": measured.get(feature.name, feature.of)}) for feature in profile.features
    ]
    return profile.model_copy(update={"features": tuple(features)})


def _weight(column: Column) -> int:
    return STRING_WEIGHT if any(isinstance(value, str) for value in column) else 1


def _array(column: Column) -> Any:
    if any(isinstance(value, str) for value in column):
        return np.array(column, dtype=object)
    return np.array([np.nan if value is None else value for value in column], dtype=np.float64)
