"""Authors' signatures: an allow list for code in model files, for deployments that refuse such code otherwise.

A seal (seals.py) is the gateway's signature over every registered artifact; it says nothing about the author. This one is the
author's: an ed25519 signature over a model's name and a file's SHA-256, made where the file was made (`modelmesh sign`), with a
key whose public key is in MODELMESH_SIGNERS. It allows these bytes to run as this model. The code is still untrusted, and runs
only in an isolated process.
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
    # The prefix differs from a seal's, so that neither can be used as the other.
    return f"modelmesh author\n{model}\n{digest}".encode()


def sign(key: Path, model: str, digest: str) -> str:
    """Return the base64 signature of a file, given its SHA-256 in hex. Raises SetupError if the key is not an ed25519 key."""
    return base64.b64encode(private_key(key, "--key").sign(_message(model, digest))).decode()


class Signers:
    """The authors whose code is accepted."""

    def __init__(self, paths: str) -> None:
        """`paths`: files of public keys in PEM format, separated by commas. Raises SetupError."""
        names = [Path(path.strip()) for path in paths.split(",") if path.strip()]
        self._keys = [public_key(path, "MODELMESH_SIGNERS") for path in names]

    def check(self, model: str, digest: str, signature: str) -> None:
        """Raise RegistrationRefused unless one of the authors signed this file for this model."""
        if not self._keys:
            raise RegistrationRefused(
                "this deployment has no author's key: set MODELMESH_SIGNERS, or send no signature",
                field=_FIELD,
            )
        try:
            given = base64.b64decode(signature, validate=True)
        except ValueError:
            raise RegistrationRefused(
                "the author's signature is not base64: see `modelmesh sign`", field=_FIELD
            ) from None
        if not any(_is_by(key, given, _message(model, digest)) for key in self._keys):
            raise RegistrationRefused(
                f"no key in MODELMESH_SIGNERS made this signature for the model {model!r} and these bytes (SHA-256 "
                f"{digest[:12]}...)",
                field=_FIELD,
            )

    def limits_for(self, limits: Limits, model: str, spec: VersionSpec) -> Limits:
        """Return the limits for loading a version: code is allowed if its author signed it. Raises ModelFailed."""
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
