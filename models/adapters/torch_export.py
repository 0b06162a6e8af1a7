"""Export a PyTorch module, by example rows, to a program that takes any number of rows."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from ...schemas.errors import InvalidInput

# The call that exports a program with a free number of rows, for error messages.
EXPORT_LINE = (
    'torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim("rows")},)), x of two rows or more'
)


def export(model: Any, sample: Any) -> Any:
    """Return the module as an ExportedProgram in evaluation mode; the module itself is not changed.

    `sample` holds rows: an array, a tensor, a list or a DataFrame for one input, a tuple of arrays or {name: array} for several.
    The first dimension counts rows. Integers stay integers; floats of unspecified type (lists, numpy's float64) get the type of
    the module's parameters. Raises InvalidInput if it cannot be exported.
    """
    import torch

    model = getattr(model, "_orig_mod", model)  # the module inside a torch.compile wrapper
    if any(tensor.device.type != "cpu" for tensor in chain(model.parameters(), model.buffers())):
        model = copy.deepcopy(model).to("cpu")  # models are served on the CPU
    given = {name: _column(name, value) for name, value in _named(model, sample).items()}
    first_error = ""
    with _evaluation_mode(model):
        for dtypes in _candidate_dtypes(torch, model, given):
            tensors = {
                name: _two_rows(torch, column).to(dtype)
                for (name, column), dtype in zip(given.items(), dtypes, strict=True)
            }
            try:
                return _exported(torch, model, tensors, {name for name, column in given.items() if column.free})
            except Exception as error:  # torch and the module can raise anything
                first_error = first_error or " ".join(str(error).split())[:300]
    raise InvalidInput(
        f"torch.export cannot export this module on its sample: {first_error} (the first dimension of each input must "
        "count rows, and forward() must take any number of them)",
        field="sample",
    )


class _Column:
    """The rows of one input. `fixed`: the caller chose its type. `free`: its rows differ in length."""

    def __init__(self, tensor: Any, *, fixed: bool, free: bool = False) -> None:
        self.tensor, self.fixed, self.free = tensor, fixed, free


def _named(model: Any, sample: Any) -> dict[str, Any]:
    """Return the rows of each input, by name."""
    if hasattr(sample, "iloc") and hasattr(sample, "columns"):
        columns = {str(name): sample[name].to_numpy() for name in sample.columns}
        return columns if columns.keys() <= set(_parameters(model)) else {"": sample.to_numpy()}
    if isinstance(sample, list) and sample and isinstance(sample[0], dict):
        return {name: [row[name] for row in sample] for name in sample[0]}
    if isinstance(sample, dict):
        return dict(sample)
    if isinstance(sample, tuple) and sample and hasattr(sample[0], "shape"):
        names = _parameters(model)
        if len(sample) > len(names):
            raise InvalidInput(f"sample has {len(sample)} inputs, forward() takes {', '.join(names)}", field="sample")
        return dict(zip(names, sample, strict=False))
    return {"": sample}


def _parameters(model: Any) -> list[str]:
    return list(inspect.signature(model.forward).parameters)


def _column(name: str, value: Any) -> _Column:
    import torch

    if isinstance(value, torch.Tensor):
        found = _Column(value.detach().cpu(), fixed=True)
    else:
        free = False
        try:
            array = np.asarray(value)
        except ValueError:  # rows of different lengths: the longest is the example
            free, array = True, np.asarray([max(value, key=np.size)])
        if array.dtype.kind not in "fiub":
            raise InvalidInput(f"sample: {name or 'a row'} must be numbers, not {array.dtype}", field="sample")
        array = array.astype(array.dtype.newbyteorder("="))
        found = _Column(
            torch.from_numpy(array), fixed=isinstance(value, np.ndarray) and array.dtype != np.float64, free=free
        )
    if found.tensor.ndim == 0 or not len(found.tensor):
        raise InvalidInput(f"sample: {name or 'it'} has no rows", field="sample")
    return found


def _two_rows(torch: Any, column: _Column) -> Any:
    """Return the rows, repeated if there is only one: an example of one row would fix the number of rows at one."""
    return column.tensor if len(column.tensor) > 1 else torch.cat([column.tensor, column.tensor])


def _candidate_dtypes(torch: Any, model: Any, given: dict[str, _Column]) -> Iterator[tuple[Any, ...]]:
    """Iterate over the dtypes to try for the inputs: first those of the rows, then that of the module's parameters."""
    computes = next((tensor.dtype for tensor in model.parameters() if tensor.is_floating_point()), None)

    def first(column: _Column) -> Any:
        floats = column.tensor.is_floating_point()
        return computes if floats and not column.fixed and computes is not None else column.tensor.dtype

    tried = set()
    for kind in (None, computes, torch.float32):
        for convert in (False, True):  # also integers as floats: a list may hold 1 for 1.0
            types = tuple(
                (kind or first(column)) if column.tensor.is_floating_point() or (convert and not column.fixed)
                else column.tensor.dtype
                for column in given.values()
            )  # fmt: skip
            if convert and kind is None:
                continue
            if types not in tried:
                tried.add(types)
                yield types


def _exported(torch: Any, model: Any, tensors: dict[str, Any], free: set[str]) -> Any:
    rows = torch.export.Dim("rows")
    shapes = {
        name: {0: rows, **(dict.fromkeys(range(1, tensor.ndim), torch.export.Dim.AUTO) if name in free else {})}
        for name, tensor in tensors.items()
    }
    if list(tensors) == [""]:
        return _export_and_run(torch, model, (tensors[""],), {}, (shapes[""],))
    names = _parameters(model)
    if tensors.keys() <= set(names):
        bound = inspect.signature(model.forward).bind(**tensors)
        ordered = {name: shapes[name] for name in bound.arguments}
        return _export_and_run(torch, model, bound.args, bound.kwargs, ordered)
    if len(names) != 1:
        unknown = ", ".join(name for name in tensors if name not in names)
        raise InvalidInput(f"forward() takes {', '.join(names)}, not {unknown}", field="sample")
    return _export_and_run(torch, model, (tensors,), {}, (shapes,))


def _export_and_run(torch: Any, model: Any, positional: tuple[Any, ...], named: dict[str, Any], shapes: Any) -> Any:
    """Export the module and run it, since tracing does not detect every type mismatch."""
    program = torch.export.export(model, positional, named, dynamic_shapes=shapes)
    with torch.no_grad():
        program.module()(*copy.deepcopy(positional), **copy.deepcopy(named))
    return program


@contextlib.contextmanager
def _evaluation_mode(model: Any) -> Iterator[None]:
    """Set the module to evaluation mode inside the context, and restore the mode of each submodule after it."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
