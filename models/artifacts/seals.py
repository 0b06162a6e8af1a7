"""Seals: an ed25519 signature over a version's artifact, made when it is registered and verified before it is loaded.

An attacker with write access to the artifact store or to Kafka still cannot make workers load another artifact.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from ...schemas.errors import ModelFailed, SetupError


def _message(model: str, version: str, digest: str) -> bytes:
    # The name and the version are signed too, so that another model's sealed artifact cannot be used for this one.
    return f"modelmesh\n{model}\n{version}\n{digest}".encode()


class Sealer:
    """Signs with the private key in a PEM file."""

    def __init__(self, path: Path) -> None:
        self._key = private_key(path, "MODELMESH_SEAL_KEY")

    def seal(self, model: str, version: str, digest: str) -> str:
        """Return the seal, in base64."""
        return base64.b64encode(self._key.sign(_message(model, version, digest))).decode()


class SealChecker:
    """Verifies with the public key in a PEM file."""

    def __init__(self, path: Path) -> None:
        self._key = public_key(path, "MODELMESH_SEAL_PUBLIC_KEY")

    def check(self, model: str, version: str, digest: str, seal: str) -> None:
        """Raise ModelFailed unless the seal is this version's."""
        if not seal:
            raise ModelFailed(f"{model} {version} has no seal, and this worker requires one")
        try:
            self._key.verify(base64.b64decode(seal, validate=True), _message(model, version, digest))
        except (InvalidSignature, ValueError):
            raise ModelFailed(
                f"the seal of {model} {version} is not valid: the artifact is not the registered one"
            ) from None


def private_key(path: Path, setting: str) -> Ed25519PrivateKey:
    """Return the key in a PEM file. Raises SetupError, which names the setting, if it is not an ed25519 private key."""
    key = _read(path, setting, lambda data: load_pem_private_key(data, None))
    if not isinstance(key, Ed25519PrivateKey):
        raise SetupError(f"{setting}: {path} is not an ed25519 key: `openssl genpkey -algorithm ed25519`")
    return key


def public_key(path: Path, setting: str) -> Ed25519PublicKey:
    """Return the key in a PEM file. Raises SetupError, which names the setting, if it is not an ed25519 public key."""
    key = _read(path, setting, load_pem_public_key)
    if not isinstance(key, Ed25519PublicKey):
        raise SetupError(f"{setting}: {path} is not an ed25519 key: `openssl pkey -pubout`")
    return key


def _read(path: Path, setting: str, load: Callable[[bytes], object]) -> object:
    try:
        return load(path.read_bytes())
    except OSError as error:
        raise SetupError(f"{setting}: {path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError) as error:
        raise SetupError(f"{setting}: {path} is not a key in PEM format: {error}") from None
