"""Convert DataFrames, arrays, tensors and lists to JSON rows."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import orjson

from ..models.values.json_values import json_of, plain, refuse_lossy
from ..schemas.errors import InvalidInput
from ..schemas.payloads.registrations import LARGEST_FIELD


def rows_of(data: Any) -> list[Any]:
    """Return a DataFrame, an array, a tensor or a list of rows as JSON rows; a dict is one row, or columns of equal length.

    Raises InvalidInput for a table with empty, duplicate or mixed column names.
    """
    if isinstance(data, dict):
        return _rows_of_dict(data)
    if is_table(data):
        return _rows_of_table(data)
    if hasattr(data, "to_dicts"):  # polars
        return list(data.to_dicts())
    if hasattr(data, "detach"):
        data = data.detach().cpu()
    if hasattr(data, "toarray"):  # a sparse matrix
        data = data.toarray()
    if hasattr(data, "tolist") and not hasattr(data, "to_dict"):
        refuse_lossy(data)
        return list(data.tolist())
    return [_row(row) for row in data]


def rows_json(rows: list[Any], max_bytes: int = LARGEST_FIELD) -> bytes:
    """Return as many of the first rows as fit into `max_bytes` of JSON, at least one."""
    text = json_of(rows)
    while len(text) > max_bytes and len(rows) > 1:
        rows = rows[: max(1, min(len(rows) - 1, len(rows) * max_bytes // len(text)))]
        text = json_of(rows)
    return text


def inputs_of(inputs: Any) -> Any:
    """Return inputs in the form of /predict: arrays, DataFrames and tensors become lists."""
    if isinstance(inputs, dict):
        return inputs
    if isinstance(inputs, list):
        return (
            inputs if not inputs or type(inputs[0]) in (dict, list, float, int, str) else [_row(row) for row in inputs]
        )
    if isinstance(inputs, tuple) or is_series(inputs):
        return _row(inputs)
    return rows_of(inputs)


def is_table(data: Any) -> bool:
    """Whether this is a pandas DataFrame."""
    return hasattr(data, "iloc") and hasattr(data, "columns")


def is_series(data: Any) -> bool:
    """Whether this is a pandas Series."""
    return hasattr(data, "iloc") and hasattr(data, "index") and not hasattr(data, "columns")


def numbered(columns: Any) -> bool:
    """Whether a table's columns have numbers for names, like those of a DataFrame made from an array.

    Raises InvalidInput for empty and duplicate names, and if only some of the names are text.
    """
    names = list(columns)
    if all(isinstance(name, str) for name in names):
        if "" in names:
            raise InvalidInput("a column of the table has an empty name: rename it", field="inputs")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidInput(f"two columns of the table are named {twice[:80]!r}", field=twice[:80])
        return False
    if any(isinstance(name, str) for name in names):
        odd = next(name for name in names if not isinstance(name, str))
        raise InvalidInput(f"the column name {odd!r} is not text, as other names are: rename it", field="inputs")
    return True


def body_of(inputs: Any) -> bytes:
    """Return the body of a prediction request. Raises InvalidInput for a value that JSON cannot represent."""
    return json_of({"inputs": inputs})


def data_digest(data: Any) -> str:
    """Return the SHA-256 of a table's or an array's rows as JSON, in hex: the same rows give the same digest."""
    return hashlib.sha256(
        orjson.dumps(rows_of(data), default=_for_digest, option=orjson.OPT_PASSTHROUGH_DATETIME)
    ).hexdigest()


def _for_digest(value: Any) -> Any:
    try:
        return plain(value)
    except TypeError:
        return str(value)


def _row(row: Any) -> Any:
    """Return one of many rows as JSON values."""
    if is_series(row) or hasattr(row, "detach"):
        return plain(row)
    if isinstance(row, np.ndarray):
        refuse_lossy(row)
        return _timestamps(row) if row.dtype.kind == "M" else row.tolist()
    return list(row) if isinstance(row, tuple) else row


def _rows_of_dict(data: dict[Any, Any]) -> list[Any]:
    columns = {name: _row(values) for name, values in data.items()}
    lengths = {len(values) for values in columns.values() if isinstance(values, list)}
    if len(lengths) == 1 and all(isinstance(values, list) for values in columns.values()):
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [data]


def _rows_of_table(table: Any) -> list[Any]:
    columns = [_values(table.iloc[:, place]) for place in range(len(table.columns))]
    if numbered(table.columns):
        return [list(row) for row in zip(*columns, strict=True)]
    names = [str(name) for name in table.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(series: Any) -> list[Any]:
    """Return a column's values; timestamps as ISO 8601 text at full precision, in UTC if they have a time zone."""
    if series.dtype.kind == "M":
        zone = getattr(series.dtype, "tz", None)
        timestamps = _timestamps((series.dt.tz_convert("UTC").dt.tz_localize(None) if zone else series).to_numpy())
        return [timestamp + "Z" if zone and timestamp else timestamp for timestamp in timestamps]
    if series.dtype.kind == "m":
        name = str(series.name)
        raise InvalidInput(f"{name}: JSON has no time differences: convert them to numbers", field=name)
    return list(series.tolist())


def _timestamps(array: np.ndarray[Any, Any]) -> list[Any]:
    texts = np.datetime_as_string(array).astype(object)
    return [None if missing else text for missing, text in zip(np.isnat(array).tolist(), texts.tolist(), strict=True)]
