"""Profiles: a version's reference rows as counts on bins, with which live rows are compared."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .unknown_values import OrUnknown


class FeatureProfile(BaseModel):
    """One feature's bins and the reference rows' counts on them.

    Numbers: `len(edges) + 1` bins in order, split after each edge. Text: a bin for each category and one for all unseen values.
    The last bin of either counts missing values. For free text, each numeric measure of it (see models.proof.measures) is a
    feature, and `of` is the column's name.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    of: str = ""
    kind: OrUnknown[Literal["number", "category"]]
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def bins(self) -> int:
        """Number of bins, including those for unseen and missing values."""
        return (len(self.edges) if self.kind == "number" else len(self.categories)) + 2

    @property
    def ordered(self) -> int:
        """Number of leading bins that are in order; a KS statistic can be computed from these."""
        return len(self.edges) + 1 if self.kind == "number" else 0


class Profile(BaseModel):
    """The reference of a version: its features in the order of the columns, and the number of rows.

    `left_out`: why a column is not watched, by its name.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    features: tuple[FeatureProfile, ...]
    source: OrUnknown[Literal["registration", "live"]] = "registration"
    left_out: dict[str, str] = Field(default_factory=dict, exclude_if=lambda left_out: not left_out)


class OutputBins(BaseModel):
    """How answers are counted: by label, or a number between edges."""

    model_config = ConfigDict(frozen=True)

    output: str
    edges: tuple[float, ...] | None = Field(default=None, description="None: each value is a label")
