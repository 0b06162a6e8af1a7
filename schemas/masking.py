"""Masks passwords in texts that are shown to people."""

from __future__ import annotations

import re

# Up to the last possible @, since an unescaped password may contain any of :/?#@.
_USERINFO = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]*://)(?P<user>[^\s:/?#@]*)(?P<password>[^\s]*)@")
_NAMED = re.compile(
    r"(?P<name>[\w.-]*(?:password|passwd|passphrase|secret|token|credential|api[_-]?key|access[_-]?key|account[_-]?key|signature)"
    r"[\w.-]*\s*=\s*)(?P<value>\"[^\"]*\"|'[^']*'|[^\s&;,\"']*)",
    re.IGNORECASE,
)


def without_passwords(text: str) -> str:
    """Return the text with *** in place of passwords in URLs and of values whose names look like a secret's."""
    text = _USERINFO.sub(_hidden, text)
    return _NAMED.sub(r"\g<name>***", text)


def _hidden(found: re.Match[str]) -> str:
    # A name alone may be a token: https://TOKEN@host.
    who = f"{found['user']}:***" if found["password"].startswith(":") else "***"
    return f"{found['scheme']}{who}@"
