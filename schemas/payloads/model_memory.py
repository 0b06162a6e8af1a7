"""What was proved of the memory that an ONNX model takes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Memory(BaseModel):
    """A bound, in bytes: `weights`, and for each batch that runs `fixed + row * rows`, and `texts` times all its text.

    With a `why` there is none.
    """

    model_config = ConfigDict(frozen=True)

    weights: int = Field(default=0, ge=0, description="the model itself, once for all batches")
    fixed: int = Field(default=0, ge=0, description="what a batch takes whatever its rows are")
    row: int = Field(default=0, ge=0, description="what each of its rows adds")
    texts: int = Field(default=0, ge=0, description="how many copies of the batch's texts are held")
    why: str = Field(default="", description="why no bound was proved: then the model runs in a process of its own")

    @property
    def bounded(self) -> bool:
        """Whether there is a bound."""
        return not self.why
