"""The available adapters. Each is imported on first use, since importing torch takes seconds."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, get_args

from ...schemas.errors import InvalidInput
from ...schemas.extras import not_installed
from ...schemas.payloads.releases import Framework
from .base import Adapter

_MODULES: dict[str, tuple[str, str]] = {
    "sklearn": ("sklearn_adapter", "SklearnAdapter"),
    "torch": ("torch_adapter", "TorchAdapter"),
    "onnx": ("onnx_adapter", "OnnxAdapter"),
}


def adapter_for(framework: str) -> Adapter:
    """Return the adapter of a framework. Raises InvalidInput if it is unknown, SetupError if its libraries are missing."""
    if not isinstance(framework, str) or framework not in _MODULES:
        raise InvalidInput(
            f"framework {str(framework)[:40]!r} is unknown: use one of {', '.join(get_args(Framework))}",
            field="framework",
        )
    module, name = _MODULES[framework]
    try:
        adapter: Adapter = getattr(import_module(f".{module}", __package__), name)()
    except ModuleNotFoundError as error:
        missing = not_installed(error, f"a model of {framework} as an object")
        raise missing or error from None
    return adapter


def framework_of(model: Any) -> Framework:
    """Return the framework of a model object. Raises InvalidInput if no adapter recognises it."""
    for framework in get_args(Framework):
        if adapter_for(framework).recognises(model):
            return framework  # type: ignore[no-any-return]
    name = f"{type(model).__module__}.{type(model).__qualname__}"
    if isinstance(model, type):
        raise InvalidInput(
            f"{model.__name__} is a class: give a trained model, an instance of it", field="model_object"
        )
    if isinstance(model, Mapping) and any("torch" in module_roots(value) for value in model.values()):
        raise InvalidInput(
            "this is a state_dict, weights without their module: load it with module.load_state_dict(...), and give the module",
            field="model_object",
        )
    raise InvalidInput(
        f"no adapter knows {name}: models of {', '.join(get_args(Framework))} are served (others can be converted to ONNX); "
        "name the framework where it is one of these",
        field="framework",
    )


def module_roots(model: Any) -> set[str]:
    """Return the top-level packages of the object's class and its bases."""
    return {base.__module__.split(".")[0] for base in type(model).__mro__}
