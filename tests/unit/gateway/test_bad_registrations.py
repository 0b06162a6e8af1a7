"""Each invalid registration is refused by a typed error that names the field, without raw Python messages."""

import json
import pickle
import re
import zipfile
from io import BytesIO

import aiohttp
import joblib
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from modelmesh.gateway.api.upload import read_registration
from modelmesh.models.artifacts.check import check_artifact
from modelmesh.models.proof.proof import prove
from modelmesh.schemas.errors import InvalidInput, ModelMeshError
from modelmesh.sdk.model_file import save_model
from onnx import TensorProto, helper
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

RAW = re.compile(
    r"Traceback|object has no attribute|zip\(\) argument|TypeError|KeyError|AttributeError|ufunc|NoneType|onnxruntime_src"
)


def file_of(model):
    written = BytesIO()
    joblib.dump(model, written)
    return written.getvalue()


MODEL = file_of(LogisticRegression().fit([[0.0, 1.0], [1.0, 0.0]], [0, 1]))
WORDS = file_of(make_pipeline(CountVectorizer(), LogisticRegression()).fit(["a b", "cc dd"], [0, 1]))


def onnx_file(kind=TensorProto.FLOAT, shape=(None, 2), operator="Identity"):
    ends = [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "g", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def archive(**files):
    written = BytesIO()
    with zipfile.ZipFile(written, "w") as opened:
        for name, data in files.items():
            opened.writestr(name.replace("__", "/"), data)
    return written.getvalue()


class Odd:
    """A model that raises what it is given."""

    def __init__(self, error):
        self.error = error

    def predict(self, rows):
        raise self.error


def odd(error):
    import cloudpickle

    return cloudpickle.dumps(Odd(error))


FLOAT8 = '{"inputs": [{"name": "x", "dtype": "float8"}]}'
SAMPLE = [[0.0, 1.0], [1.0, 0.0]]
# What is wrong, the fields beside name and framework (artifact among them), the field that the answer names, words in it.
BAD = [
    ("no name", {"name": None}, "name", "required"),
    ("a name with a slash", {"name": "a/b"}, "name", ""),
    ("an empty name", {"name": ""}, "name", ""),
    ("a name too long", {"name": "a" * 500}, "name", ""),
    ("no framework", {"framework": None}, "framework", "required"),
    ("an unknown framework", {"framework": "keras"}, "framework", "sklearn"),
    ("a version of two parts", {"version": "1.0"}, "version", ""),
    ("a version of words", {"version": "latest"}, "version", ""),
    ("a parent that is no version", {"parent": "x"}, "parent", ""),
    ("an unknown field", {"flavour": "x"}, "flavour", "no such field.*framework"),
    ("no file", {"artifact": None}, "artifact", "artifact"),
    ("an empty file", {"artifact": b""}, "artifact", "empty"),
    ("a text file", {"artifact": b"hello"}, None, "does not load"),
    ("a text file as ONNX", {"artifact": b"hello", "framework": "onnx"}, "artifact", "not an ONNX model"),
    ("a text file as PyTorch", {"artifact": b"hello", "framework": "torch"}, "artifact", r"\.pt2"),
    ("a sklearn model as ONNX", {"framework": "onnx"}, "artifact", "not an ONNX model"),
    ("a sklearn model as PyTorch", {"framework": "torch"}, "artifact", r"\.pt2"),
    ("an ONNX model as sklearn", {"artifact": onnx_file()}, None, "does not load"),
    ("half a file", {"artifact": MODEL[: len(MODEL) // 2]}, None, "does not load"),
    ("a cut archive", {"artifact": archive(a="b" * 999)[:-30], "framework": "torch"}, "artifact", ""),
    ("an archive of nothing known", {"artifact": archive(a="b"), "framework": "sklearn"}, None, "does not load"),
    ("a pickle of no model", {"artifact": pickle.dumps({"a": 1})}, None, "neither predict"),
    ("a pickle of a missing module", {"artifact": b"cno_such_module\nThing\n."}, "artifact", "not installed"),
    ("metadata that is a list", {"metadata": "[1]"}, "metadata", ""),
    ("metadata that is no JSON", {"metadata": "{"}, "metadata", "JSON"),
    ("a sample that is a number", {"sample": "5"}, "sample", "list"),
    ("a sample with NaN", {"sample": "[[NaN, 1]]"}, "sample", "JSON"),
    ("a sample of another width", {"sample": "[[1, 2, 3]]"}, None, "features"),
    ("a ragged sample", {"sample": "[[1, 2], [1]]"}, "sample", "differ in shape"),
    ("a sample of other columns", {"sample": '[{"a": 1, "b": 2}, {"a": 1}]'}, "sample", "exactly the features"),
    ("a sample of text", {"sample": '[["a", "b"]]'}, None, ""),
    ("a sample of text and numbers", {"sample": '[["a", 1]]'}, None, ""),
    ("a sample of objects in rows", {"sample": '[[{"a": 1}, 2]]'}, None, ""),
    ("a sample of nothing", {"sample": "[[]]"}, None, ""),
    ("numbers for a model of text", {"sample": "[[1], [2]]", "artifact": WORDS}, None, ""),
    ("another width for ONNX", {"artifact": onnx_file(), "framework": "onnx", "sample": "[[1]]"}, None, ""),
    ("an ONNX model of an unknown operator", {"artifact": onnx_file(operator="Nope"), "framework": "onnx"}, "artifact", "Nope"),
    ("an ONNX model without rows", {"artifact": onnx_file(shape=()), "framework": "onnx"}, None, "counts rows"),
    ("reference rows of another width", {"sample": json.dumps(SAMPLE), "reference": "[[1]]"}, "reference", "features"),
    ("a signature of no inputs", {"signature": '{"inputs": []}'}, "signature.inputs", ""),
    ("a signature of an unknown type", {"signature": FLOAT8}, "signature.inputs.0.dtype", ""),
    ("a batch of nothing", {"batching": '{"max_batch_size": 0}'}, "batching.max_batch_size", ""),
    ("a cache for ever", {"cache_ttl_seconds": "1e99"}, "cache_ttl_seconds", ""),
    ("a digest that is none", {"data_digest": "x"}, "data_digest", ""),
    ("a model that raises KeyError", {"artifact": odd(KeyError("amount")), "sample": "[[1]]"}, "sample", "looks for 'amount'"),
    ("a model that raises nothing but a name", {"artifact": odd(ValueError()), "sample": "[[1]]"}, "sample", "without a message"),
    ("a model that raises a TypeError", {"artifact": odd(TypeError("no text")), "sample": "[[1]]"}, "sample", "no text"),
]  # fmt: skip


@pytest.fixture
async def client(tmp_path):
    async def register(request):
        try:
            registration, path = await read_registration(request, tmp_path, 10_000_000)
            check_artifact(path, registration.framework, allow_pickles=True, max_bytes=10**8)
            prove(
                path, registration.framework, registration.signature, registration.sample, True, tmp_path / "c",
                registration.reference,
            )  # fmt: skip
        except ModelMeshError as error:
            return web.json_response(error.problem(), status=error.status)
        return web.json_response({}, status=201)

    app = web.Application()
    app.router.add_post("/models", register)
    async with TestClient(TestServer(app)) as made:
        yield made


def form_of(fields):
    form = aiohttp.FormData()
    for name, value in ({"name": "m", "framework": "sklearn", "artifact": MODEL} | fields).items():
        if isinstance(value, bytes):
            form.add_field(name, value, filename="f")
        elif value is not None:
            form.add_field(name, value)
    return form


async def test_each_bad_registration_is_refused_in_words(client):
    assert (await client.post("/models", data=form_of({"sample": json.dumps(SAMPLE)}))).status == 201
    wrong = []
    for what, fields, field, words in BAD:
        response = await client.post("/models", data=form_of(fields))
        if response.content_type != "application/json":
            wrong.append(f"{what}: {response.status} {(await response.text())[:200]}")
            continue
        problem = await response.json()
        detail = problem.get("detail", "")
        if (
            response.status not in (400, 413, 422)
            or (field and problem.get("field") != field)
            or not re.search(words, detail)
            or RAW.search(detail)
        ):
            wrong.append(f"{what}: {response.status} {problem}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("application/json", b"{}", "multipart"),
        ("multipart/form-data", b"x", "boundary"),
        ("multipart/form-data; boundary=a", b"nothing of the kind", "form"),
        ("multipart/form-data; boundary=a", b"--a\r\n", ""),
        (
            "multipart/form-data; boundary=a",
            b'--a\r\nContent-Disposition: form-data; name="name"\r\n\r\nm\r\n' * 2 + b"--a--\r\n",
            "twice",
        ),
    ],
)
async def test_a_body_that_is_no_form_is_refused_in_words(kind, body, words, client):
    response = await client.post("/models", data=body, headers={"Content-Type": kind})
    problem = await response.json()
    assert response.status == 400
    assert re.search(words, problem["detail"])
    assert not RAW.search(problem["detail"])


def test_what_is_no_model_is_refused_before_it_is_sent(tmp_path):
    unknown = tmp_path / "model.bin"
    unknown.write_bytes(b"x")
    for model, words in (
        (unknown, "name the framework"),
        (tmp_path / "not-there.onnx", "no file"),
        (tmp_path, "0 ONNX models"),
        (LogisticRegression, "trained model"),
        ({"a": 1}, "no adapter knows"),
        (None, "no adapter knows"),
    ):
        with pytest.raises(InvalidInput, match=words):
            save_model(model, None, None, tmp_path)
    with pytest.raises(InvalidInput, match="unknown"):
        save_model(LogisticRegression(), 5, None, tmp_path)
    for name, framework in (("m.pkl", "sklearn"), ("M.ONNX", "onnx"), ("m.pth", "torch"), ("m.pt2", "torch")):
        (tmp_path / name).write_bytes(b"x")
        assert save_model(tmp_path / name, None, None, tmp_path)[1] == framework
