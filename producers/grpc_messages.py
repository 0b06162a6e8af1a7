"""The Open Inference Protocol's gRPC messages, to what travels on the log and back: the same raw tensors behind a JSON header."""

from __future__ import annotations

from typing import Any

import orjson
from tritonclient.grpc import service_pb2 as pb

from ..schemas.errors import InvalidInput, MalformedRequest

# Which typed field of a tensor's contents holds a datatype's values.
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
    """Return a ModelInferRequest as a v2 body, and the length of its JSON. Raises MalformedRequest, InvalidInput."""
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise MalformedRequest(
            f"{len(request.inputs)} inputs and {len(raw)} raw_input_contents: give one for each input, or none",
            field="raw_input_contents",
        )
    inputs = []
    for number, tensor in enumerate(request.inputs):
        document: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
        }
        if raw:
            document["parameters"] = {"binary_data_size": len(raw[number])}
        else:
            document["data"] = _values(tensor)
        inputs.append(document)
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
    """Return a worker's v2 answer as a ModelInferResponse."""
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


def _values(tensor: Any) -> list[Any]:
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        raise InvalidInput(
            f"the datatype {tensor.datatype[:20]!r} of {tensor.name[:80]!r} has no contents field: send it in "
            "raw_input_contents",
            field=tensor.name[:80],
        )
    values = list(getattr(tensor.contents, field))
    if field != "bytes_contents":
        return values
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError:
        raise InvalidInput(f"the texts of {tensor.name[:80]!r} are not UTF-8", field=tensor.name[:80]) from None
