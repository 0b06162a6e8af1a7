"""Where a compiled form is the same function as its model."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Domain(BaseModel):
    """A compiled form that knows its limits: for each row it says itself whether its answer is the model's.

    Where it is not (NaN, a value too large, an unseen category, two scores nearer than rounding), the form raises
    `OutsideDomain` and the model itself must be asked: a worker needs both.
    """

    model_config = ConfigDict(frozen=True)

    why: str = Field(default="", max_length=500, description="what lies outside, in words")
