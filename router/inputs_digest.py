"""The digest of a request's canonical inputs: two requests with the same digest get the same answer from one version."""

from __future__ import annotations

from hashlib import blake2b

import orjson

from ..models.values.tensors import parse_body
from ..schemas.errors import ModelMeshError


def inputs_digest(body: bytes) -> str | None:
    """Return 32 hex digits, the same for any order of names and any white space; None for unreadable inputs.

    The digest is computed here, not taken from the caller: with a forged digest, a caller could read or poison another
    caller's answer.
    """
    try:
        inputs = parse_body(body)
    except ModelMeshError:
        return None  # the worker answers with the reason
    return blake2b(orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
