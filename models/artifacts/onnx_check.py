"""Check that an ONNX model is pure data: every message, operator and function is known, and all its tensors are in the file.

ONNX Runtime checks parts of this too, but which parts depends on its version.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ...schemas.errors import InvalidInput

SERVED_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview", "com.microsoft"})
# ONNX Runtime operators that run compiled accelerator code, from a file or from bytes in the model.
_NATIVE_CODE = {"EPContext", "Snpe"}
# After functions are inlined. Real models have some thousand nodes.
_MAX_NODES = 1_000_000


def check_onnx(path: Path, _: int = 0) -> None:
    """Raise InvalidInput if the file is not an ONNX model, or has unknown content."""
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own errors
        raise InvalidInput(f"the file is not an ONNX model: {error}"[:300], field="artifact") from None
    check_model(model)


def check_model(model: Any) -> None:
    """Raise InvalidInput for a ModelProto with unknown content, or with tensors in other files."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    if not model.HasField("graph"):
        raise InvalidInput("the file is not an ONNX model: it has no graph", field="artifact")
    for message in messages(model):
        unknown = UnknownFieldSet(message)
        if len(unknown):
            raise InvalidInput(
                f"the ONNX model has the unknown field {unknown[0].field_number} in a {message.DESCRIPTOR.name}: export it for "
                "an earlier version of ONNX",
                field="artifact",
            )
    if (outside := outside_data(model)) is not None:
        raise InvalidInput(
            f"the tensor {outside[0][:80]!r} is in another file, {outside[1][:80]!r}: register the model with its data inside, "
            "register_model(name, onnx.load(path)), or the folder that holds both, register_model(name, folder)",
            field="artifact",
        )
    _check_operators(model)
    _check_functions(model)


def messages(message: Any) -> Iterator[Any]:
    """Iterate over a protobuf message and all messages in it, at any depth and in any field."""
    waiting = [message]
    while waiting:
        message = waiting.pop()
        yield message
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if hasattr(value, "DESCRIPTOR") else value)


def outside_tensors(model: Any) -> Iterator[tuple[str, str]]:
    """Iterate over the tensors with external data, as (tensor name, file name)."""
    import onnx

    for message in messages(model):
        if isinstance(message, onnx.TensorProto) and (
            message.data_location == onnx.TensorProto.EXTERNAL or message.external_data
        ):
            # If the key is given twice, ONNX Runtime may use either value, so all are returned.
            places = [entry.value for entry in message.external_data if entry.key == "location"]
            for place in places or [""]:
                yield message.name, place


def outside_data(model: Any) -> tuple[str, str] | None:
    """Return the name of a tensor with external data and its file name, or None."""
    return next(outside_tensors(model), None)


def check_beside(model: Any, folder: Path) -> None:
    """Raise InvalidInput unless all external data of a model is in plain files in its folder."""
    for name, place in outside_tensors(model):
        path = PurePosixPath(place.replace("\\", "/"))
        if not path.parts or path.is_absolute() or ".." in path.parts or ":" in place:
            raise InvalidInput(
                f"the tensor {name[:80]!r} is in {place[:80]!r}, which is not within the model's folder",
                field="model_object",
            )
        steps = [folder.joinpath(*path.parts[: depth + 1]) for depth in range(len(path.parts))]
        if any(step.is_symlink() for step in steps) or (steps[-1].is_file() and steps[-1].stat().st_nlink > 1):
            raise InvalidInput(
                f"the tensor {name[:80]!r} is in {place[:80]!r}, which is a link: put the file itself next to the model",
                field="model_object",
            )


def operators(model: Any) -> Iterator[Any]:
    """Iterate over all nodes of the graph, of functions, and of subgraphs."""
    import onnx

    return (message for message in messages(model) if isinstance(message, onnx.NodeProto))


def custom_operators(model: Any) -> list[str]:
    """Return the operators that are neither ONNX's, nor ONNX Runtime's own, nor functions of the model."""
    own = {(function.domain, function.name) for function in model.functions}
    return sorted(
        {
            f"{node.domain or 'ai.onnx'}:{node.op_type}"
            for node in operators(model)
            if (node.domain, node.op_type) not in own and not _is_known(node.domain, node.op_type)
        }
    )


def _check_operators(model: Any) -> None:
    for function in model.functions:
        if function.domain in SERVED_DOMAINS:
            raise InvalidInput(
                f"the ONNX model has a function {function.name[:80]!r} in the domain {function.domain or 'ai.onnx'!r}, which is "
                "for standard operators: export it with functions in a domain of their own, or inlined",
                field="artifact",
            )
    if custom := custom_operators(model):
        raise InvalidInput(
            f"ONNX Runtime does not know its operators {', '.join(custom)[:200]}: export it without custom operators",
            field="artifact",
        )


def _is_known(domain: str, name: str) -> bool:
    if domain == "com.microsoft":
        return name in _of_onnx_runtime()
    return (domain if domain != "ai.onnx" else "", name) in _of_onnx()


@functools.cache
def _of_onnx() -> frozenset[tuple[str, str]]:
    from onnx import defs

    return frozenset(
        (schema.domain, schema.name)
        for schema in defs.get_all_schemas_with_history()
        if schema.domain in SERVED_DOMAINS
    )


@functools.cache
def _of_onnx_runtime() -> frozenset[str]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    known = {schema.name for schema in state.get_all_operator_schema() if schema.domain == "com.microsoft"}
    return frozenset(known - _NATIVE_CODE)


def _check_functions(model: Any) -> None:
    """Raise InvalidInput for recursive functions, or if inlining the functions gives too many nodes."""
    import onnx

    bodies = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    open_calls: list[tuple[str, str]] = []

    def size_of(body: Any) -> int:
        total = 0
        for node in messages(body):
            if isinstance(node, onnx.NodeProto):
                key = (node.domain, node.op_type)
                total += called(key) if key in bodies else 1
        return total

    def called(key: tuple[str, str]) -> int:
        if key in open_calls or len(open_calls) > 100:
            raise InvalidInput(
                f"the ONNX function {key[1][:80]!r} calls itself, or nests calls more than 100 deep", field="artifact"
            )
        if key not in sizes:
            open_calls.append(key)
            sizes[key] = size_of(bodies[key])
            open_calls.pop()
        return sizes[key]

    if bodies and size_of(model.graph) > _MAX_NODES:
        raise InvalidInput(
            f"the ONNX model has more than {_MAX_NODES} operators once its functions are inlined",
            field="artifact",
        )
