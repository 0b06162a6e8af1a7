"""The domain of inputs on which a compiled form is the same function as its model."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Domain(BaseModel):
    """A compiled form with a limited domain: it reports for each row whether its answer is the model's.

    For rows outside the domain (NaN, a value too large, an unseen category, two scores closer than rounding) the form raises
    `OutsideDomain` and the original model must answer, so a worker needs both.
    """

    model_config = ConfigDict(frozen=True)

    why: str = Field(default="", max_length=500, description="a description of the inputs outside")
