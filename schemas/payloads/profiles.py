"""What the rows that a model was made for look like: counts on bins, to which live rows are compared."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class FeatureProfile(BaseModel):
    """One feature's bins and the reference rows' counts on them.

    Numbers: `len(edges) + 1` bins in order, split after each edge. Text: a bin for each category and one for all that were
    not seen. The last bin of either counts what is missing. A text that is no category has numbers that are read from it,
    each a feature (see models.measures); `of` is then the column's name.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    of: str = ""
    kind: Literal["number", "category"]
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def bins(self) -> int:
        """How many bins there are, with those for the unseen and the missing."""
        return (len(self.edges) if self.kind == "number" else len(self.categories)) + 2

    @property
    def ordered(self) -> int:
        """How many bins are in order, from the first on: those that a KS statistic can be read from."""
        return len(self.edges) + 1 if self.kind == "number" else 0


class Profile(BaseModel):
    """The reference of a version: its features in the order of the columns, and the number of rows."""

    model_config = ConfigDict(frozen=True)

    rows: int
    features: tuple[FeatureProfile, ...]
    source: Literal["registration", "live"] = "registration"


class OutputBins(BaseModel):
    """How answers are counted: by label, or a number between edges."""

    model_config = ConfigDict(frozen=True)

    output: str
    edges: tuple[float, ...] | None = Field(default=None, description="None: each value is a label")
