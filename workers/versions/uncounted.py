"""Answers rows for a comparison: no request is answered by it and nothing is counted."""

from __future__ import annotations

from ...models.compiled.domain import OutsideDomain
from ...models.values.tensors import Tensors
from ...schemas.errors import ModelFailed
from .execution import LoadedModel
from .original_model import OriginalModel
from .rows import checked

Model = LoadedModel | OriginalModel


async def predict_uncounted(
    model: Model, original: Model | None, inputs: Tensors, *, use_original: bool = False
) -> Tensors:
    """Answer rows as a version would: by its original model if `use_original`, or if a row is outside the compiled form's domain.

    Raises ModelRefusedInput or ModelFailed.
    """
    rows = len(next(iter(inputs.values())))
    if use_original and original is not None:
        return checked(await original.predict(inputs), rows)
    try:
        return checked(await model.predict(inputs), rows)
    except OutsideDomain:
        if original is None:
            raise ModelFailed("outside the compiled form's domain, and there is no original") from None
        return checked(await original.predict(inputs), rows)
