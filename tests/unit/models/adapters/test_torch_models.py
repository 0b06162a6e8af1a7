"""PyTorch modules are served with the answers of the module in evaluation mode, or refused with a reason."""

import collections
import re

import numpy as np
import pandas as pd
import pytest
from modelmesh.models.adapters.registry import adapter_for
from modelmesh.models.compiled.domain import OutsideDomain
from modelmesh.models.proof.proof import prove
from modelmesh.models.values.tensors import read_inputs
from modelmesh.schemas.errors import InvalidInput, RegistrationRefused
from modelmesh.sdk.model_file import sample_rows, save_model

torch = pytest.importorskip("torch", reason="pip install 'modelmesh[torch]'")
nn = torch.nn
X = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
ONES = nn.Parameter(torch.ones(3))
HALVES = torch.tensor([1.5, 2.5], dtype=torch.float64)
NESTED = {"output_0": X, "output_1.0": X * 2, "output_1.2.k": X + 1}
WHOLE = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
Pair = collections.namedtuple("Pair", "left right")


class Does(nn.Module):
    """A module whose forward is a function of the module and one input."""

    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.does = forward

    def forward(self, x):
        return self.does(self, x)


class Two(nn.Module):
    def forward(self, user, item, weight=None):
        return (user * item).sum(1) if weight is None else (user * item * weight).sum(1)


class OfDict(nn.Module):
    def forward(self, batch):
        return batch["user"] - batch["item"]


def proved(model, sample, tmp_path, compile_model=False):
    torch.manual_seed(0)
    path, framework = save_model(model, None, sample, tmp_path)
    rows = sample_rows(model, sample) or []
    proof = prove(path, framework, None, rows, compile_model, tmp_path / "c.onnx")
    return proof, adapter_for("torch").load(path, proof.signature, rows, 1), rows


def answers(served, rows):
    return served.predict(read_inputs(rows, served.signature)[0])


# module, sample, and the module's own outputs: name -> array
def cases():
    norm = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    bags = Does(lambda self, x: self.e(x), e=nn.EmbeddingBag(50, 4))
    ids = np.arange(20).reshape(4, 5)
    half = Does(lambda self, x: self.l(x.bfloat16()), l=nn.Linear(3, 2).bfloat16())
    return {
        "integers stay integers": (bags, ids, {"output": bags(torch.as_tensor(ids))}),
        "a module of integers in a list": (bags, ids.tolist(), {"output": bags(torch.as_tensor(ids))}),
        "bfloat16 within": (half, X, {"output": half(X).float()}),
        "bfloat16 all through": (bf := nn.Linear(3, 2).bfloat16(), X, {"output": bf(X.bfloat16()).float()}),
        "half precision out": (Does(lambda _, x: x.half()), X, {"output": X.half()}),
        "doubles": (double := nn.Linear(3, 2).double(), X.numpy().astype(float), {"output": double(X.double())}),
        "numbers that look whole": (lin := nn.Linear(3, 2), WHOLE.int().tolist(), {"output": lin(WHOLE)}),
        "training mode": (norm, X, {"output": X / (1 + 1e-5) ** 0.5}),
        "one row": (lin, X[:1], {"output": lin(X[:1])}),
        "a table": (lin, pd.DataFrame(X.numpy(), columns=list("abc")), {"output": lin(X)}),
        "a dict": (Does(lambda _, x: {"b": x + 1, "a": x.argmax(1)}), X, {"b": X + 1, "a": X.argmax(1)}),
        "nested": (Does(lambda _, x: (x, (x * 2, None, {"k": x + 1}))), X, NESTED),
        "not contiguous": (Does(lambda _, x: x.flip(1)[:, ::2]), X, {"output": X.flip(1)[:, ::2]}),
        "needs gradients": (Does(lambda self, x: self.w.expand(x.shape[0], 3), w=ONES), X, {"output": torch.ones(8, 3)}),
        "writes into its input": (Does(lambda _, x: x.mul_(2)), X.clone(), {"output": X * 2}),
        "two inputs by name": (Two(), {"item": X, "user": X + 1}, {"output": (X * (X + 1)).sum(1)}),
        "two inputs in order": (Two(), (X, X + 1), {"output": (X * (X + 1)).sum(1)}),
        "columns by name": (Does(lambda _, x: x * 2), pd.DataFrame({"x": [1.5, 2.5]}), {"output": 2 * HALVES}),
        "one dict in": (OfDict(), {"user": X, "item": X + 1}, {"output": -torch.ones(8, 3)}),
        "TorchScript": (torch.jit.script(nn.Linear(3, 2)), X, None),
        "TorchScript of integers": (torch.jit.trace(nn.EmbeddingBag(50, 4), torch.as_tensor(ids)), ids, None),
        "TorchScript of two": (torch.jit.script(OnlyTwo()), {"item": X, "user": X + 1}, {"output": X - 2 * (X + 1)}),
    }  # fmt: skip


class OnlyTwo(nn.Module):
    def forward(self, item, user):
        return item - 2 * user


def test_a_module_answers_as_itself(tmp_path):
    wrong = []
    for number, (what, (model, sample, expected)) in enumerate(cases().items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        modes = [part.training for part in model.modules()]
        try:
            _, served, rows = proved(model, sample, folder)
            found = answers(served, rows)
        except Exception as error:
            wrong.append(f"{what}: {error!r}"[:300])
            continue
        if [part.training for part in model.modules()] != modes:
            wrong.append(f"{what}: the module's mode is changed")
        expected = expected or {"output": model(torch.as_tensor(sample))}
        if found.keys() != expected.keys():
            wrong.append(f"{what}: outputs {list(found)}")
            continue
        for name, want in expected.items():
            want = want.detach().numpy()
            if found[name].dtype != want.dtype or not np.allclose(found[name], want, atol=1e-6):
                wrong.append(f"{what}: {name} is {found[name]!r}, not {want!r}")
    assert not wrong, "\n".join(wrong)


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        self.seen.add_(1)
        return x + self.seen


def exported(model, rows=X, **options):
    return torch.export.export(model, (rows,), **options)


def test_what_cannot_be_served_is_refused_in_words(tmp_path):
    free = {"dynamic_shapes": ({0: torch.export.Dim("rows")},)}
    bad = {
        "no sample": (nn.Linear(3, 2), None, "sample=x"),
        "no rows": (nn.Linear(3, 2), X[:0], "no rows"),
        "no tensor": (nn.Linear(3, 2), [["a", "b", "c"]], "must be numbers"),
        "another width": (nn.Linear(3, 2), X[:, :2], "cannot export"),
        "an unknown input": (Two(), {"user": X, "itme": X}, "itme"),
        "fixed rows": (exported(nn.Linear(3, 2)), X, r"Dim\(\"rows\"\)"),
        "dropout on": (exported(nn.Dropout(0.5).train(), **free), X, "eval"),
        "batch norm on": (exported(nn.BatchNorm1d(3).train(), **free), X, "eval"),
        "state": (Counts(), X, "those before"),
        "complex": (Does(lambda _, x: torch.complex(x, x)), X, "view_as_real"),
        "one number": (Does(lambda _, x: x.sum()), X, "one row in"),
        "a tensor": (X, X, "neither"),
        "a named tuple": (Does(lambda _, x: Pair(x, -x)), X, "return tensors, tuples or dicts"),
    }  # fmt: skip
    wrong = []
    for number, (what, (model, sample, words)) in enumerate(bad.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises((InvalidInput, RegistrationRefused)) as refused:
            proved(model, sample, folder)
        if not re.search(words, refused.value.detail):
            wrong.append(f"{what}: {refused.value.detail}")
    assert not wrong, "\n".join(wrong)


def test_an_index_out_of_range_is_the_callers_error_and_lengths_are_free_where_the_sample_varies(tmp_path):
    table = Does(lambda self, x: self.e(x).sum(1), e=nn.Embedding(9, 2))
    _, served, _ = proved(table, [[1, 2, 3], [4, 5]], tmp_path)
    assert served.signature.inputs[0].shape == (-1, -1)
    for ids in ([[1, 2, 3, 4]], [[5]], [[1, 2], [3, 4], [5, 6]]):
        assert np.allclose(answers(served, ids)["output"], table(torch.tensor(ids)).detach(), atol=1e-6)
    with pytest.raises(InvalidInput, match="does not take these inputs"):
        answers(served, [[9]])


def test_only_smooth_programs_are_compiled_and_only_for_the_numbers_they_agree_on(tmp_path):
    smooth = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 2), nn.Softmax(1))
    proof, served, _ = proved(smooth, X, tmp_path, compile_model=True)
    assert (proof.served_as, proof.domain is not None) == ("onnx", True), proof.parity
    compiled = adapter_for("onnx").load(tmp_path / "c.onnx", proof.signature, [], 1)
    rows = X.numpy().copy()
    (name,) = (spec.name for spec in served.signature.inputs)
    assert np.allclose(compiled.predict({name: rows})["output"], smooth(X).detach(), atol=1e-6)
    for odd in (np.nan, np.inf, -np.inf, 3e38, -1e30):
        rows[2, 1] = odd
        with pytest.raises(OutsideDomain) as outside:
            compiled.predict({name: rows})
        assert outside.value.inside.tolist() == [number != 2 for number in range(len(rows))]
    for number, jumps in enumerate(
        [
            Does(lambda _, x: {"score": x.softmax(1), "best": x.argmax(1)}),
            Does(lambda _, x: torch.round(x)),
            Does(lambda _, x: torch.where(x > 0, 1.0, 0.0)),
            Does(lambda self, x: self.e(x), e=nn.EmbeddingBag(50, 4)),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        proof, *_ = proved(jumps, X if number < 3 else np.arange(6).reshape(3, 2), folder, compile_model=True)
        assert (proof.served_as, bool(proof.parity["why"])) == ("torch", True)
