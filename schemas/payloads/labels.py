"""What was right, said after the fact: a label for each row of a request that was answered."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ..names import MODEL_NAME, REQUEST_ID

Truth = bool | int | float | str


class Label(BaseModel):
    """The truth about one request: one value, or one for each of its rows. A later one replaces it.

    Of several requests for a model under one id it is about the newest that came before it. `caller` is the name of the API
    key or token that says it, where they are asked for: its own requests come first.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    request_id: str = Field(pattern=f"^{REQUEST_ID.pattern}$")
    model: str = Field(pattern=f"^{MODEL_NAME.pattern}$")
    label: Truth | list[Truth]
    caller: str = Field(default="", max_length=128)

    def values(self) -> list[Truth]:
        """Return one value for each row."""
        return self.label if isinstance(self.label, list) else [self.label]
