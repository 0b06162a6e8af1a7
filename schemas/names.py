"""The syntax of names: models, versions, request ids, nonces."""

from __future__ import annotations

import re

from .errors import InvalidInput

MODEL_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?")
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# 16 or more random bytes as text: hex, base64url or a UUID. A shorter one could be guessed, or collide.
NONCE = re.compile(r"[A-Za-z0-9._:-]{22,128}")
VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")


def check_model_name(name: str) -> str:
    """Return the name, or raise InvalidInput with the syntax.

    A model's name is part of a Kafka topic's name, where `.` and `_` may collide; hence no dots.
    """
    if not MODEL_NAME.fullmatch(name):
        raise InvalidInput(
            f"model name {name[:80]!r}: use 1 to 64 lower-case letters, digits, '-' or '_', "
            "beginning and ending with a letter or digit",
            field="name",
        )
    return name


def parse_version(version: str) -> tuple[int, int, int]:
    """Return (major, minor, patch) of a semantic version such as 1.4.0, or raise InvalidInput."""
    match = VERSION.fullmatch(version)
    if match is None:
        raise InvalidInput(f"version {version[:40]!r}: use MAJOR.MINOR.PATCH, such as 1.4.0", field="version")
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch)
