"""Signatures of authors: whose code is taken where the deployment refuses code in model files.

A seal (seals.py) is the gateway's, over all that is registered, and vouches for nobody. This is an author's: an ed25519
signature over a model's name and a file's SHA-256, made where the file was made (`modelmesh sign`), by a key whose public half
MODELMESH_SIGNERS names. It says that these bytes may run as this model, not that they do no harm: they run in an isolated
process alone.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ...schemas.errors import ModelFailed, RegistrationRefused
from ...schemas.payloads.releases import VersionSpec
from ..proof.proof import Limits
from .seals import private_key, public_key

_FIELD = "author_signature"


def _message(model: str, digest: str) -> bytes:
    # Another prefix than a seal's: neither passes for the other.
    return f"modelmesh author\n{model}\n{digest}".encode()


def sign(key: Path, model: str, digest: str) -> str:
    """Return the signature, in base64, of a file by its SHA-256 in hex. Raises SetupError for what is no ed25519 key."""
    return base64.b64encode(private_key(key, "--key").sign(_message(model, digest))).decode()


class Signers:
    """The authors whose code is taken."""

    def __init__(self, paths: str) -> None:
        """`paths`: files of public keys in PEM form, as a,b. Raises SetupError."""
        names = [Path(path.strip()) for path in paths.split(",") if path.strip()]
        self._keys = [public_key(path, "MODELMESH_SIGNERS") for path in names]

    def check(self, model: str, digest: str, signature: str) -> None:
        """Raise RegistrationRefused, which says why, unless one of them signed this file for this model."""
        if not self._keys:
            raise RegistrationRefused(
                "this deployment knows no author's key: name one in MODELMESH_SIGNERS, or send no signature",
                field=_FIELD,
            )
        try:
            given = base64.b64decode(signature, validate=True)
        except ValueError:
            raise RegistrationRefused(
                "the author's signature is no base64: see `modelmesh sign`", field=_FIELD
            ) from None
        if not any(_is_by(key, given, _message(model, digest)) for key in self._keys):
            raise RegistrationRefused(
                f"the author's signature is by none of the keys in MODELMESH_SIGNERS over these bytes (SHA-256 {digest[:12]}...) "
                f"for the model {model!r}",
                field=_FIELD,
            )

    def limits_for(self, limits: Limits, model: str, spec: VersionSpec) -> Limits:
        """Return the limits with which to load a version: code is taken where it was signed. Raises ModelFailed."""
        if limits.allow_pickles or not spec.author_signature or spec.served_as == "onnx":
            return limits
        try:
            self.check(model, spec.digest, spec.author_signature)
        except RegistrationRefused as error:
            raise ModelFailed(f"{model} {spec.version}: {error.detail}") from None
        return replace(limits, allow_pickles=True)


def _is_by(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
