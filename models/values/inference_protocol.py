"""The Open Inference Protocol (v2): its tensors, as JSON or as raw bytes behind a JSON header, to arrays and back.

https://github.com/kserve/open-inference-protocol, and its binary tensor extension: a body is then a JSON document of so
many bytes (`Inference-Header-Content-Length`), and after it the tensors' bytes, little-endian and row by row, in the order of
the document; a BYTES element has its length before it, in four bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ...schemas.errors import InvalidInput, MalformedRequest
from ...schemas.payloads.signatures import Signature, TensorSpec
from .inference_tensors import (
    DATATYPE_OF,
    DATATYPE_OF_ARRAY,
    DATATYPES,
    array_from_json,
    array_from_raw,
    fitted,
    raw_from_array,
    texts_of,
)
from .outputs import plain_array
from .tensors import Tensors

# As many as an array may have; and of rows without values, which take no bytes, not more than those that do.
MAX_DIMENSIONS = 64
MAX_EMPTY_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """What a request wants back: its id, the outputs (none: all) and which of them in binary."""

    id: str = ""
    outputs: tuple[str, ...] = ()
    binary: frozenset[str] = frozenset()
    all_binary: bool = False


def read_request(
    body: bytes, header_bytes: int | None, signature: Signature, request_id: str = ""
) -> tuple[Tensors, int, ResponseOptions]:
    """Return the tensors, the number of rows, and what is wanted back. `header_bytes` is None where all of it is JSON.
    `request_id` is the answer's id where the body has none.

    Raises MalformedRequest for what is not the protocol, InvalidInput where the tensors do not fit the signature.
    """
    header, raw = (body, b"") if header_bytes is None else (body[:header_bytes], body[header_bytes:])
    if header_bytes is not None and header_bytes > len(body):
        raise MalformedRequest(
            f"Inference-Header-Content-Length is {header_bytes}, the body has {len(body)} bytes",
            field="Inference-Header-Content-Length",
        )
    try:
        document = orjson.loads(header)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"the body is not valid JSON: {error} (NaN and Infinity are not JSON)") from None
    inputs = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(inputs, list) or not inputs:
        raise MalformedRequest('the body needs "inputs": a list of tensors', field="inputs")
    specs = {spec.name: spec for spec in signature.inputs}
    tensors: Tensors = {}
    at = 0
    for number, tensor in enumerate(inputs):
        name, shape, datatype = _described(tensor, number)
        if len(specs) == len(inputs) == 1:  # which one is meant is clear, whatever it is called
            (name,) = specs
        spec = specs.get(name)
        if spec is None or name in tensors:
            why = "is given twice" if name in tensors else f"is unknown: the model takes {', '.join(specs)}"
            raise InvalidInput(f"inputs[{number}]: the tensor {name[:80]!r} {why}", field=name[:80])
        size = _parameters(tensor).get("binary_data_size")
        if size is None:
            array = array_from_json(tensor.get("data"), name, shape, datatype)
        else:
            array, at = array_from_raw(raw, at, size, name, shape, datatype)
        tensors[name] = fitted(array, spec, datatype)
    if at != len(raw):
        raise MalformedRequest(f"{len(raw) - at} bytes after the last tensor belong to none", field="inputs")
    missing = [name for name in specs if name not in tensors]
    if missing:
        raise InvalidInput(f"the tensor {missing[0]!r} is missing", field=missing[0])
    rows = {len(array) for array in tensors.values()}
    if len(rows) != 1:
        raise InvalidInput(f"the tensors have different numbers of rows: {sorted(rows)}", field="inputs")
    if not (count := rows.pop()):
        raise InvalidInput("the tensors have no rows", field="inputs")
    # In the signature's order: requests that share a batch are stacked by it.
    return {name: tensors[name] for name in specs}, count, _wanted(document, signature, request_id)


def write_response(
    model: str, version: str, outputs: Mapping[str, NDArray[Any]], begin: int, end: int, wanted: ResponseOptions
) -> tuple[bytes, int | None]:
    """Return the body with rows `begin` to `end`, and the length of its JSON where bytes follow it.

    Raises InvalidInput for a wanted output that there is not.
    """
    described, raw = [], []
    for name in wanted.outputs or outputs:
        if name not in outputs:
            raise InvalidInput(
                f"there is no output {name[:80]!r}: the model gives {', '.join(outputs)}", field=name[:80]
            )
        part = plain_array(outputs[name][begin:end])
        datatype = DATATYPE_OF_ARRAY.get(part.dtype, "FP64")
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(part.shape)}
        if wanted.all_binary or name in wanted.binary:
            data = raw_from_array(part, datatype)
            tensor["parameters"] = {"binary_data_size": len(data)}
            raw.append(data)
        else:
            tensor["data"] = texts_of(part) if datatype == "BYTES" else np.ascontiguousarray(part).ravel()
            if datatype == "FP16":
                tensor["data"] = tensor["data"].tolist()
        described.append(tensor)
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": described}
    if wanted.id:
        document["id"] = wanted.id
    header = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return (header + b"".join(raw), len(header)) if raw else (header, None)


def tensor_document(spec: TensorSpec) -> dict[str, Any]:
    """Return a tensor as the model metadata shows it."""
    return {"name": spec.name, "datatype": DATATYPE_OF[spec.dtype], "shape": list(spec.shape)}


def _described(tensor: Any, number: int) -> tuple[str, tuple[int, ...], str]:
    if not isinstance(tensor, dict):
        raise MalformedRequest(f"inputs[{number}] is no tensor: an object with name, shape, datatype", field="inputs")
    name, shape, datatype = tensor.get("name"), tensor.get("shape"), tensor.get("datatype")
    if not isinstance(name, str) or not name:
        raise MalformedRequest(f"inputs[{number}] has no name", field="inputs")
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size >= 0 for size in shape):
        raise MalformedRequest(f"inputs[{number}]: the shape of {name[:80]!r} must be a list of sizes", field=name[:80])
    if len(shape) > MAX_DIMENSIONS or (0 in shape and max(shape) > MAX_EMPTY_ROWS):
        raise InvalidInput(
            f"inputs[{number}]: {name[:80]!r} has {len(shape)} dimensions, the largest of {max(shape)}: at most "
            f"{MAX_DIMENSIONS} are taken, and where one is 0, none above {MAX_EMPTY_ROWS}",
            field=name[:80],
        )
    if datatype not in DATATYPES:
        raise MalformedRequest(
            f"inputs[{number}]: the datatype of {name[:80]!r} must be one of {', '.join(DATATYPES)}", field=name[:80]
        )
    return name, tuple(shape), datatype


def _parameters(holder: Any) -> dict[str, Any]:
    found = holder.get("parameters") if isinstance(holder, dict) else None
    return found if isinstance(found, dict) else {}


def _wanted(document: dict[str, Any], signature: Signature, request_id: str) -> ResponseOptions:
    given = document.get("outputs") or []
    if not isinstance(given, list) or not all(
        isinstance(each, dict) and isinstance(each.get("name"), str) for each in given
    ):
        raise MalformedRequest('"outputs" must be a list of objects with a name', field="outputs")
    known = [spec.name for spec in signature.outputs]
    for output in given:
        if known and output["name"] not in known:
            raise InvalidInput(
                f"there is no output {output['name'][:80]!r}: the model gives {', '.join(known)}",
                field=output["name"][:80],
            )
    identity = document.get("id")
    if identity is not None and type(identity) not in (str, int):
        raise MalformedRequest('"id" must be text', field="id")
    return ResponseOptions(
        id=request_id if identity in (None, "") else str(identity),
        outputs=tuple(output["name"] for output in given),
        binary=frozenset(output["name"] for output in given if _parameters(output).get("binary_data") is True),
        all_binary=_parameters(document).get("binary_data_output") is True,
    )
