"""Where code is refused, code that a known author signed is taken, and no other; it runs in a process of its own alone."""

import asyncio
import base64
import contextlib
import hashlib

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from modelmesh.broker.embedded.progress import no_progress
from modelmesh.cli.local.mesh import Mesh
from modelmesh.cli.main import app as cli
from modelmesh.models.artifacts.authors import Signers, sign
from modelmesh.models.artifacts.seals import Sealer
from modelmesh.models.memory.budget import MemoryBudget
from modelmesh.models.proof.proof import Limits
from modelmesh.models.serving_process import load_version
from modelmesh.schemas.errors import ModelFailed, PickleRefused, SetupError
from modelmesh.schemas.settings import Settings
from typer.testing import CliRunner

from ...by_value import by_value
from ..gateway_alone import gateway_alone
from . import model_attacks

BUDGET = MemoryBudget(2**33, 2**20)
REFUSES = Limits(allow_pickles=False, memory_bytes=32 * 1024**3, file_bytes=64 * 1024**2)


class SaysWhereItRuns:
    """Answers the id of its process."""

    def predict(self, rows):
        import os

        import numpy as np

        return np.full(len(rows), float(os.getpid()))


CODE = by_value(SaysWhereItRuns())


def pair(folder, name):
    """Make a key; return the files of its two halves."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def keys(tmp_path):
    """Private and public keys of two authors who are known, and of a stranger."""
    return {name: pair(tmp_path, name) for name in ("ada", "bob", "stranger")}


@pytest.fixture
def signers(keys):
    return f"{keys['ada'][1]}, {keys['bob'][1]}"


def digest_of(data):
    return hashlib.sha256(data).hexdigest()


async def register(http, name, data, signature, **fields):
    form = aiohttp.FormData({"name": name, "framework": "sklearn", "sample": "[[1.0]]", **fields})
    if signature is not None:
        form.add_field("author_signature", signature)
    form.add_field("artifact", data, filename="model", content_type="application/octet-stream")
    async with http.post("/models", data=form) as answer:
        return answer.status, await answer.json()


def bad_signatures(keys):
    """Signatures that are not an author's over this file for the model `pid`, and what is said of each."""
    ada, stranger, digest = keys["ada"][0], keys["stranger"][0], digest_of(CODE)
    good = sign(ada, "pid", digest)
    raw = bytearray(base64.b64decode(good))
    raw[5] ^= 1
    return {
        "none": (None, "MODELMESH_SIGNERS"),
        "a stranger's": (sign(stranger, "pid", digest), "no key in MODELMESH_SIGNERS"),
        "another model's": (sign(ada, "other", digest), "no key in MODELMESH_SIGNERS"),
        "of other bytes": (sign(ada, "pid", digest_of(b"other")), "no key in MODELMESH_SIGNERS"),
        "a changed one": (base64.b64encode(raw).decode(), "no key in MODELMESH_SIGNERS"),
        "a seal": (Sealer(ada).seal("pid", "1.0.0", digest), "no key in MODELMESH_SIGNERS"),
        "cut short": (base64.b64encode(raw[:40]).decode(), "no key in MODELMESH_SIGNERS"),
        "no base64": ("not base64!", "not base64"),
        "odd": ("é" * 40, "not base64"),
    }


async def test_a_gateway_takes_what_an_author_signed_and_nothing_else(keys, signers, tmp_path):
    options = {"pickles": "refuse", "signers": signers, "kafka": "127.0.0.1:1"}
    async with gateway_alone(tmp_path / "data", **options) as alone, aiohttp.ClientSession(alone.url) as http:
        for what, (signature, words) in bad_signatures(keys).items():
            status, problem = await register(http, "pid", CODE, signature)
            assert (status, words in problem["detail"]) == (422, True), (what, problem)
            assert problem["code"] == ("pickle_refused" if signature is None else "registration_refused"), what
        good = sign(keys["bob"][0], "pid", digest_of(CODE))
        status, problem = await register(http, "pid", CODE + b"x", good)
        assert (status, problem["code"]) == (422, "registration_refused"), "tampered bytes"
        async with http.get("/models") as answer:
            assert (await answer.json())["total"] == 0
        status, document = await register(http, "pid", CODE, good)
        assert status == 201, document
        assert document["version"]["served_as"] == "sklearn"


async def test_a_signature_means_nothing_where_no_author_is_known(keys, tmp_path):
    async with (
        gateway_alone(tmp_path / "data", pickles="refuse", kafka="127.0.0.1:1") as alone,
        aiohttp.ClientSession(alone.url) as http,
    ):
        status, problem = await register(http, "pid", CODE, sign(keys["ada"][0], "pid", digest_of(CODE)))
    assert status == 422
    assert "has no author's key" in problem["detail"]


def test_a_worker_looks_for_itself(keys, signers, tmp_path):
    """Whoever writes onto the log that a version was signed brings no code into a worker that knows no such signature."""
    path = tmp_path / "model"
    path.write_bytes(CODE)
    spec = model_attacks.spec_of(path).model_copy(update={"digest": digest_of(CODE)})
    for what, (signature, _) in bad_signatures(keys).items():
        claimed = spec.model_copy(update={"author_signature": signature or ""})
        with pytest.raises((ModelFailed, PickleRefused)) as refused:
            load_version(path, claimed, Signers(signers).limits_for(REFUSES, "pid", claimed), BUDGET)
        assert "1.0.0" in refused.value.detail or "refuses code" in refused.value.detail, what
    signed = spec.model_copy(update={"author_signature": sign(keys["ada"][0], "pid", digest_of(CODE))})
    with pytest.raises(ModelFailed, match="has no author's key"):
        Signers("").limits_for(REFUSES, "pid", signed)
    with contextlib.closing(
        load_version(path, signed, Signers(signers).limits_for(REFUSES, "pid", signed), BUDGET)[0]
    ) as model:
        assert type(model).__name__ == "ServingProcess"


def test_a_signature_changes_no_identity(keys, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(CODE)
    plain = model_attacks.spec_of(path)
    signed = type(plain).model_validate(plain.model_dump() | {"author_signature": "x", "identity": ""})
    assert signed.identity == plain.identity


def test_the_command_signs_and_keys_that_are_none_are_named(keys, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(CODE)
    command = ["sign", str(path), "--model", "pid", "--key", str(keys["ada"][0])]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    Signers(str(keys["ada"][1])).check("pid", digest_of(CODE), done.stdout.strip())
    for wrong in (tmp_path / "nowhere", path, keys["ada"][0]):
        with pytest.raises(SetupError, match="MODELMESH_SIGNERS"):
            Signers(f"{keys['bob'][1]},{wrong}")
    with pytest.raises(SetupError, match="--key"):
        sign(keys["ada"][1], "pid", digest_of(CODE))


async def predict(http):
    async with http.post("/predict/pid", json={"inputs": [[1.0]]}) as answer:
        return answer.status, await answer.json()


def numbers_of(outputs):
    """All numbers in a document."""
    if isinstance(outputs, dict | list):
        return [
            number
            for each in (outputs.values() if isinstance(outputs, dict) else outputs)
            for number in numbers_of(each)
        ]
    return [outputs]


async def test_a_mesh_that_refuses_code_serves_signed_code_in_a_process_of_its_own(keys, signers, tmp_path):
    settings = Settings(data=tmp_path / "mesh", port=0, pickles="refuse", signers=signers)
    mesh = Mesh(settings, workers=1, external_kafka=False, progress=no_progress, on_restart=lambda member, code: None)
    async with mesh, aiohttp.ClientSession(mesh.url) as http:
        assert (await register(http, "pid", CODE, None))[0] == 422
        status, document = await register(http, "pid", CODE, sign(keys["ada"][0], "pid", digest_of(CODE)))
        assert status == 201, document
        async with asyncio.timeout(120):
            while (answered := await predict(http))[0] != 200:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.1)
        own = answered[1]["outputs"]
        assert own, answered
        roles = {float(member.pid) for member in mesh.supervisor.members}
        assert not roles & set(numbers_of(own)), "it ran in a role's own process"
