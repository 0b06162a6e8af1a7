"""Which adapters there are. Each is imported when it is asked for: torch alone takes seconds."""

from __future__ import annotations

from importlib import import_module
from typing import Any, get_args

from ...schemas.errors import InvalidInput
from ...schemas.releases import Framework
from .base import Adapter

_MODULES: dict[str, tuple[str, str]] = {
    "sklearn": ("sklearn_adapter", "SklearnAdapter"),
    "torch": ("torch_adapter", "TorchAdapter"),
    "onnx": ("onnx_adapter", "OnnxAdapter"),
}


def adapter_for(framework: str) -> Adapter:
    """Return the adapter of a framework. Raises InvalidInput for an unknown one."""
    if framework not in _MODULES:
        raise InvalidInput(
            f"framework {framework[:40]!r} is unknown: use one of {', '.join(get_args(Framework))}", field="framework"
        )
    module, name = _MODULES[framework]
    adapter: Adapter = getattr(import_module(f".{module}", __package__), name)()
    return adapter


def framework_of(model: Any) -> Framework:
    """Return the framework of a model object. Raises InvalidInput when no adapter knows it."""
    for framework in get_args(Framework):
        if adapter_for(framework).recognises(model):
            return framework  # type: ignore[no-any-return]
    raise InvalidInput(
        f"no adapter knows {type(model).__module__}.{type(model).__qualname__}: name the framework", field="framework"
    )


def module_roots(model: Any) -> set[str]:
    """Return the top-level packages of the object's class and its bases."""
    return {base.__module__.split(".")[0] for base in type(model).__mro__}
