"""Validates texts that become record headers: UTF-8, without NUL, and short."""

from __future__ import annotations

from collections.abc import Mapping

# Limit of characters of all texts of one request together.
MAX_TEXT = 2048


def are_valid(joined: str) -> bool:
    """Whether texts, joined into one, are valid. A fast check, since each request passes it."""
    return len(joined) <= MAX_TEXT and "\0" not in joined and (joined.isascii() or _encodes(joined))


def first_error(texts: Mapping[str, str]) -> tuple[str, str]:
    """Return the name of the invalid text and a message. `texts` must contain an invalid one."""
    for name, text in texts.items():
        if not _encodes(text):
            return name, f"{name} is not UTF-8 text: {text[:80]!a}"
        if "\0" in text:
            return name, f"{name} contains a NUL"
    name = max(texts, key=lambda one: len(texts[one]))
    return name, f"{name} has {len(texts[name])} characters: the limit is {MAX_TEXT} for all texts together"


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
