"""Convert gRPC messages of the Open Inference Protocol to the form on the log (a JSON header and raw tensors) and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from tritonclient.grpc import service_pb2 as pb

from ...models.values.inference_tensors import DATATYPES
from ...schemas.errors import InvalidInput, MalformedRequest

# The typed field of a tensor's contents for each datatype.
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def to_body(request: Any) -> tuple[bytes, int]:
    """Return a ModelInferRequest as a v2 body, and the length of its JSON header. Raises MalformedRequest, InvalidInput."""
    raw = list(request.raw_input_contents)
    if not raw:
        raw = [_raw(tensor) for tensor in request.inputs]
    elif len(raw) != len(request.inputs):
        raise MalformedRequest(
            f"{len(request.inputs)} inputs and {len(raw)} raw_input_contents: give one for each input, or none",
            field="raw_input_contents",
        )
    inputs = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
            "parameters": {"binary_data_size": len(data)},
        }
        for tensor, data in zip(request.inputs, raw, strict=True)
    ]
    header = orjson.dumps(
        {
            "id": request.id,
            "inputs": inputs,
            "outputs": [{"name": output.name} for output in request.outputs],
            "parameters": {"binary_data_output": True},
        }
    )
    return header + b"".join(raw), len(header)


def to_response(body: bytes, header_bytes: int | None) -> Any:
    """Return a worker's v2 response as a ModelInferResponse."""
    end = len(body) if header_bytes is None else header_bytes
    document = orjson.loads(body[:end])
    response = pb.ModelInferResponse(
        model_name=document["model_name"], model_version=document["model_version"], id=document.get("id", "")
    )
    for tensor in document["outputs"]:
        response.outputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
        size = tensor["parameters"]["binary_data_size"]
        response.raw_output_contents.append(body[end : end + size])
        end += size
    return response


def _raw(tensor: Any) -> bytes:
    """Return the values of a tensor's typed field in the format of raw_input_contents."""
    name, datatype = tensor.name[:80], tensor.datatype
    field = _CONTENTS.get(datatype)
    if field is None:
        raise InvalidInput(
            f"the datatype {datatype[:20]!r} of {name!r} has no contents field: send it in raw_input_contents",
            field=name,
        )
    values = getattr(tensor.contents, field)
    if datatype == "BYTES":
        return b"".join(len(value).to_bytes(4, "little") + value for value in values)
    try:
        return np.array(values, DATATYPES[datatype]).tobytes()
    except OverflowError:
        raise InvalidInput(f"a value of {name!r} is too large for {datatype}", field=name) from None
