"""Seals of artifacts, made by the gateway and verified by the workers."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from modelmesh.models.artifacts.seals import SealChecker, Sealer
from modelmesh.schemas.errors import ModelFailed, SetupError

DIGEST = "ab" * 32


@pytest.fixture
def keys(tmp_path):
    key = Ed25519PrivateKey.generate()
    private, public = tmp_path / "seal.pem", tmp_path / "seal.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_a_seal_holds_for_its_model_version_and_bytes_alone(keys):
    seal, checker = Sealer(keys[0]).seal("fraud", "1.0.0", DIGEST), SealChecker(keys[1])
    checker.check("fraud", "1.0.0", DIGEST, seal)
    for model, version, digest in (
        ("spam", "1.0.0", DIGEST),
        ("fraud", "2.0.0", DIGEST),
        ("fraud", "1.0.0", "cd" * 32),
    ):
        with pytest.raises(ModelFailed, match="not valid"):
            checker.check(model, version, digest, seal)


@pytest.mark.parametrize("seal", ["", "nonsense", base64.b64encode(bytes(64)).decode()])
def test_no_seal_and_a_made_up_one_are_refused(keys, seal):
    with pytest.raises(ModelFailed):
        SealChecker(keys[1]).check("fraud", "1.0.0", DIGEST, seal)


def test_a_key_that_cannot_be_used_is_named(keys, tmp_path):
    other = tmp_path / "rsa.pem"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    other.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for path in (tmp_path / "nowhere", keys[1], other):
        with pytest.raises(SetupError, match="MODELMESH_SEAL_KEY"):
            Sealer(path)
    for path in (tmp_path / "nowhere", keys[0]):
        with pytest.raises(SetupError, match="MODELMESH_SEAL_PUBLIC_KEY"):
            SealChecker(path)
