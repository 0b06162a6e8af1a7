"""ONNX as data: a model is taken if each message, operator and function in it is known, and none of its numbers lie elsewhere.

ONNX Runtime checks much of this too, each version another part of it. What it is handed here has been checked already.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ...schemas.errors import InvalidInput

SERVED_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview", "com.microsoft"})
# Operators of ONNX Runtime's that run what an accelerator's compiler made, read from a file or carried as bytes.
_FOREIGN = {"EPContext", "Snpe"}
# Functions are put in place of each of their calls. Real models have some thousand nodes.
_MAX_NODES = 1_000_000


def check_onnx(path: Path, _: int = 0) -> None:
    """Raise InvalidInput for what is no ONNX model, or has anything in it that is not known here."""
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own errors
        raise InvalidInput(f"the file is not an ONNX model: {error}"[:300], field="artifact") from None
    check_model(model)


def check_model(model: Any) -> None:
    """Raise InvalidInput for a ModelProto with anything in it that is not known here, or whose numbers lie elsewhere."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    if not model.HasField("graph"):
        raise InvalidInput("the file is not an ONNX model: it has no graph", field="artifact")
    for message in messages(model):
        unknown = UnknownFieldSet(message)
        if len(unknown):
            raise InvalidInput(
                f"the ONNX model has the field {unknown[0].field_number} in a {message.DESCRIPTOR.name}, which is not known "
                "here: export it for an earlier version of ONNX",
                field="artifact",
            )
    if (outside := outside_data(model)) is not None:
        raise InvalidInput(
            f"the tensor {outside[0][:80]!r} lies in another file, {outside[1][:80]!r}: hand over the model with its data "
            "inside, as register_model(name, onnx.load(path)), or register_model(name, folder) with the folder that holds both",
            field="artifact",
        )
    _check_operators(model)
    _check_functions(model)


def messages(message: Any) -> Iterator[Any]:
    """Iterate over a protobuf message and all messages in it, at any depth and in whatever field."""
    waiting = [message]
    while waiting:
        message = waiting.pop()
        yield message
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if hasattr(value, "DESCRIPTOR") else value)


def outside_tensors(model: Any) -> Iterator[tuple[str, str]]:
    """Iterate over the tensors whose numbers lie in other files: their names, and the names of these files."""
    import onnx

    for message in messages(model):
        if isinstance(message, onnx.TensorProto) and (
            message.data_location == onnx.TensorProto.EXTERNAL or message.external_data
        ):
            # A key given twice: ONNX Runtime may take the one or the other, so each counts.
            places = [entry.value for entry in message.external_data if entry.key == "location"]
            for place in places or [""]:
                yield message.name, place


def outside_data(model: Any) -> tuple[str, str] | None:
    """Return a tensor whose numbers lie in another file, and that file's name; None where all lie within."""
    return next(outside_tensors(model), None)


def check_beside(model: Any, folder: Path) -> None:
    """Raise InvalidInput where numbers of a model lie anywhere but in plain files in its own folder."""
    for name, place in outside_tensors(model):
        path = PurePosixPath(place.replace("\\", "/"))
        if not path.parts or path.is_absolute() or ".." in path.parts or ":" in place:
            raise InvalidInput(
                f"the tensor {name[:80]!r} lies in {place[:80]!r}, which is not within the model's folder",
                field="model_object",
            )
        steps = [folder.joinpath(*path.parts[: depth + 1]) for depth in range(len(path.parts))]
        if any(step.is_symlink() for step in steps) or (steps[-1].is_file() and steps[-1].stat().st_nlink > 1):
            raise InvalidInput(
                f"the tensor {name[:80]!r} lies in {place[:80]!r}, which is a link: put the file itself beside the model",
                field="model_object",
            )


def operators(model: Any) -> Iterator[Any]:
    """Iterate over all nodes: those of the graph, of functions, and of the bodies and branches in them."""
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
    return frozenset(known - _FOREIGN)


def _check_functions(model: Any) -> None:
    """Raise InvalidInput for functions that call themselves, or that grow beyond measure when they are put in place of calls."""
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
                f"the ONNX function {key[1][:80]!r} calls itself, or others more than 100 deep", field="artifact"
            )
        if key not in sizes:
            open_calls.append(key)
            sizes[key] = size_of(bodies[key])
            open_calls.pop()
        return sizes[key]

    if bodies and size_of(model.graph) > _MAX_NODES:
        raise InvalidInput(
            f"the ONNX model's functions grow to more than {_MAX_NODES} operators when they are put in place of their calls",
            field="artifact",
        )
