"""Explain errors that a model raised to the person who registers it."""

from __future__ import annotations


def explain_error(error: BaseException) -> str:
    """Return the text of the error, with an explanation where the text alone is unclear."""
    text = " ".join(str(error).split())[:600]
    if isinstance(error, KeyError):
        return f"it looks for {text}, which is not there"
    if isinstance(error, AttributeError) and "has no attribute" in text:
        return f"it uses the attribute {error.name!r}, which values of this type do not have"
    if isinstance(error, TypeError) and "ufunc" in text:
        return "it computes with values that are not numbers"
    if isinstance(error, MemoryError):
        return "it needs more memory than a model may have (MODELMESH_MODEL_MEMORY_BYTES)"
    if isinstance(error, NotImplementedError) and not text:
        return "part of it is not implemented"
    return text or f"it raised {type(error).__name__} without a message"
