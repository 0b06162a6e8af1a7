"""DataFrames, arrays, tensors and lists, as the rows of JSON that travel."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from ..schemas.errors import InvalidInput


def rows_of(data: Any) -> list[Any]:
    """Return a DataFrame, an array, a tensor or a list of rows as JSON rows."""
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        return list(data.to_dict("records"))
    if hasattr(data, "detach"):
        data = data.detach().cpu()
    return list(data.tolist()) if hasattr(data, "tolist") else list(data)


def inputs_of(inputs: Any) -> Any:
    """Return inputs as /predict takes them: arrays, DataFrames and tensors become lists."""
    if isinstance(inputs, dict | list):
        return inputs
    if hasattr(inputs, "to_dict") and not hasattr(inputs, "columns"):  # a pandas Series is one row
        return inputs.to_dict()
    return rows_of(inputs)


def body_of(inputs: Any) -> bytes:
    """Return the body of a prediction request. Raises InvalidInput for what is no JSON."""
    try:
        return orjson.dumps({"inputs": inputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"the inputs cannot be written as JSON: {error}", field="inputs") from None


def data_digest(data: Any) -> str:
    """Return the SHA-256 of a table's or an array's rows as JSON, in hex: the same rows give the same digest."""
    return hashlib.sha256(orjson.dumps(rows_of(data), option=orjson.OPT_SERIALIZE_NUMPY)).hexdigest()
