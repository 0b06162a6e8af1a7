"""The Open Inference Protocol (v2): convert its tensors, in JSON or in raw bytes after a JSON header, to arrays and back.

See https://github.com/kserve/open-inference-protocol and its binary tensor extension. With it, a body is a JSON document whose
size is in `Inference-Header-Content-Length`, followed by the tensors' bytes, little-endian and row by row, in the order of the
document. A BYTES element is prefixed by its length in four bytes.
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

# numpy's maximum; and a limit on rows without values, which take no bytes in a body.
MAX_DIMENSIONS = 64
MAX_EMPTY_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """Options of a response: its id, the outputs (empty: all), and which of them are binary."""

    id: str = ""
    outputs: tuple[str, ...] = ()
    binary: frozenset[str] = frozenset()
    all_binary: bool = False


def read_request(
    body: bytes, header_bytes: int | None, signature: Signature, request_id: str = ""
) -> tuple[Tensors, int, ResponseOptions]:
    """Return the tensors, the number of rows, and the response options. `header_bytes` is None if the body is all JSON.
    `request_id` is the response's id if the body has none.

    Raises MalformedRequest if the body violates the protocol, InvalidInput if the tensors do not fit the signature.
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
        if len(specs) == len(inputs) == 1:  # a single input may have any name
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
        raise MalformedRequest(f"{len(raw) - at} bytes after the last tensor belong to no tensor", field="inputs")
    missing = [name for name in specs if name not in tensors]
    if missing:
        raise InvalidInput(f"the tensor {missing[0]!r} is missing", field=missing[0])
    rows = {len(array) for array in tensors.values()}
    if len(rows) != 1:
        raise InvalidInput(f"the tensors have different numbers of rows: {sorted(rows)}", field="inputs")
    if not (count := rows.pop()):
        raise InvalidInput("the tensors have no rows", field="inputs")
    # In the signature's order, which requests of one batch must share.
    return {name: tensors[name] for name in specs}, count, _response_options(document, signature, request_id)


def write_response(
    model: str, version: str, outputs: Mapping[str, NDArray[Any]], begin: int, end: int, options: ResponseOptions
) -> tuple[bytes, int | None]:
    """Return the body with rows `begin` to `end`, and the length of its JSON header (None: it is all JSON).

    Raises InvalidInput if a requested output does not exist.
    """
    described, raw = [], []
    for name in options.outputs or outputs:
        if name not in outputs:
            raise InvalidInput(
                f"there is no output {name[:80]!r}: the model gives {', '.join(outputs)}", field=name[:80]
            )
        part = plain_array(outputs[name][begin:end])
        datatype = DATATYPE_OF_ARRAY.get(part.dtype, "FP64")
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(part.shape)}
        if options.all_binary or name in options.binary:
            data = raw_from_array(part, datatype)
            tensor["parameters"] = {"binary_data_size": len(data)}
            raw.append(data)
        else:
            tensor["data"] = texts_of(part) if datatype == "BYTES" else np.ascontiguousarray(part).ravel()
            if datatype == "FP16":
                tensor["data"] = tensor["data"].tolist()
        described.append(tensor)
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": described}
    if options.id:
        document["id"] = options.id
    header = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return (header + b"".join(raw), len(header)) if raw else (header, None)


def tensor_document(spec: TensorSpec) -> dict[str, Any]:
    """Return a tensor's description for the model metadata."""
    return {"name": spec.name, "datatype": DATATYPE_OF[spec.dtype], "shape": list(spec.shape)}


def _described(tensor: Any, number: int) -> tuple[str, tuple[int, ...], str]:
    if not isinstance(tensor, dict):
        raise MalformedRequest(
            f"inputs[{number}] is not a tensor: an object with name, shape, datatype", field="inputs"
        )
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


def _response_options(document: dict[str, Any], signature: Signature, request_id: str) -> ResponseOptions:
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
