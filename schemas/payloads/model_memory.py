"""The proved memory bound of an ONNX model."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Memory(BaseModel):
    """A bound in bytes: `weights`, plus for each running batch `fixed + row * rows` and `texts` times its text.

    If `why` is set, no bound was proved.
    """

    model_config = ConfigDict(frozen=True)

    weights: int = Field(default=0, ge=0, description="the model itself, once for all batches")
    fixed: int = Field(default=0, ge=0, description="constant part of a batch")
    row: int = Field(default=0, ge=0, description="added by each row")
    texts: int = Field(default=0, ge=0, description="copies of the batch's texts")
    why: str = Field(default="", description="why no bound was proved; the model then runs in a process of its own")

    @property
    def bounded(self) -> bool:
        """Whether there is a bound."""
        return not self.why
