"""The digest of a request's canonical inputs: two requests with the same digest get the same answer from one version."""

from __future__ import annotations

from hashlib import blake2b

import orjson

from ..models.values.tensors import parse_body
from ..schemas.errors import ModelMeshError


def inputs_digest(body: bytes) -> str | None:
    """Return 32 hex digits, the same for any order of names and any white space; None for inputs that cannot be read.

    The body is read here rather than a digest believed: a caller that claimed another's would be given, or would spread,
    somebody else's answer.
    """
    try:
        inputs = parse_body(body)
    except ModelMeshError:
        return None  # the worker says what is wrong with it
    return blake2b(orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
