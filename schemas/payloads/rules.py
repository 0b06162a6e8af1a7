"""The rules and stages of a canary."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .unknown_values import OrUnknown


class Step(BaseModel):
    """One stage of a canary: its share of the requests in percent, and how many seconds it lasts at least."""

    model_config = ConfigDict(frozen=True)

    percentage: float = Field(gt=0, le=100)
    hold_seconds: float = Field(default=60.0, ge=0)


class Rules(BaseModel):
    """The rules by which a canary is judged.

    `alpha` is the probability that a candidate as good as stable is ever rolled back by the comparisons together, however
    long it runs. The threshold applies to the last `window_seconds`.
    """

    model_config = ConfigDict(frozen=True)

    auto_rollback_threshold: float | None = Field(default=None, gt=0, le=1, description="share of failures")
    window_seconds: float = Field(default=60.0, ge=1, le=3600)
    min_requests: int = Field(
        default=20, ge=1, description="of the candidate, before the threshold applies or a step is taken"
    )
    alpha: float = Field(default=0.01, gt=0, le=0.2)
    latency_tolerance: float | None = Field(
        default=1.5, ge=1, description="p95 and p99 may be this many times stable's; null: latency is not judged"
    )
    latency_floor_ms: float = Field(
        default=2.0, ge=0, description="p95 and p99 may be this much above stable's, whatever the factor"
    )
    warm_up_seconds: float = Field(
        default=3.0, ge=0, le=600, description="from the candidate's first request, in which slowness does not count"
    )
    failure_margin: float | None = Field(
        default=0.05,
        gt=0,
        le=1,
        description="a step is taken once the failure rate is shown to be less than this above stable's; null: at once",
    )
    accuracy_margin: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="a step is taken once labels show the share of wrong answers to be less than this above stable's; "
        "null: labels are not waited for",
    )
    on_accuracy: OrUnknown[Literal["report", "rollback"]] = Field(
        default="rollback", description="when true labels show that the candidate is right less often than stable"
    )
    on_output_drift: OrUnknown[Literal["report", "rollback"]] = "report"
    mirror_share: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="of the candidate's requests that stable answers too, to compare the answers",
    )
    answer_tolerance: float = Field(
        default=0.01,
        ge=0,
        description="numbers agree that differ by at most this, relative to stable's above 1; labels agree if they are equal",
    )
    max_disagreement: float | None = Field(
        default=0.05, ge=0, lt=1, description="share of mirrored answers that may differ; null: it is only shown"
    )
    on_disagreement: OrUnknown[Literal["report", "hold", "rollback"]] = Field(
        default="report", description="above max_disagreement; hold: the judge gives it no more traffic"
    )
    on_drift: OrUnknown[Literal["report", "rollback"]] = "report"
