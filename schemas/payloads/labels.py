"""Labels: the true outcomes of a request, one for each row, sent after it was answered."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ..names import MODEL_NAME, REQUEST_ID

Truth = bool | int | float | str


def _check_truth(given: Any) -> Any:
    """Raise one ValueError for an invalid label; pydantic would raise one for each type."""
    values = given if isinstance(given, list) else [given]
    for value in values:
        if not isinstance(value, bool | int | float | str):
            raise ValueError(f"a label is a boolean, a number or a text, or a list of them, not {str(value)[:80]!r}")
    return given


Truths = Annotated[Truth | list[Truth], BeforeValidator(_check_truth)]


class Label(BaseModel):
    """The truth about one request: one value, or one for each of its rows. A later label replaces it.

    If several requests for a model have this id, the label belongs to the newest one before it. `caller` is the name of the
    API key or token that sent the label, if authentication is on; that caller's own requests take precedence.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    request_id: str = Field(pattern=f"^{REQUEST_ID.pattern}$")
    model: str = Field(pattern=f"^{MODEL_NAME.pattern}$")
    label: Truths
    caller: str = Field(default="", max_length=128)

    def values(self) -> list[Truth]:
        """Return one value for each row."""
        return self.label if isinstance(self.label, list) else [self.label]
