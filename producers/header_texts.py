"""Texts that become record headers: UTF-8, without NUL, and short; what is not is named."""

from __future__ import annotations

from collections.abc import Mapping

# Characters that the texts of one request have together, at most.
MAX_TEXT = 2048


def are_texts(joined: str) -> bool:
    """Whether texts, joined into one, are fine: the check that each request passes."""
    return len(joined) <= MAX_TEXT and "\0" not in joined and (joined.isascii() or _encodes(joined))


def fault_of(texts: Mapping[str, str]) -> tuple[str, str]:
    """Return the name of the text that is at fault, and what is wrong with it; for texts that are not fine."""
    for name, text in texts.items():
        if not _encodes(text):
            return name, f"{name} is no UTF-8 text: {text[:80]!a}"
        if "\0" in text:
            return name, f"{name} holds a NUL"
    name = max(texts, key=lambda one: len(texts[one]))
    return name, f"{name} has {len(texts[name])} characters: all texts have {MAX_TEXT} at most, together"


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
