"""Passwords in texts that people are shown."""

from __future__ import annotations

import re

# Up to the last @ that can still belong to it: a password may hold any of :/?#@ where somebody has not escaped them.
_USERINFO = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]*://)(?P<user>[^\s:/?#@]*)(?P<password>[^\s]*)@")
_NAMED = re.compile(
    r"(?P<name>[\w.-]*(?:password|passwd|passphrase|secret|token|credential|api[_-]?key|access[_-]?key|account[_-]?key|signature)"
    r"[\w.-]*\s*=\s*)(?P<value>\"[^\"]*\"|'[^']*'|[^\s&;,\"']*)",
    re.IGNORECASE,
)


def without_passwords(text: str) -> str:
    """Return a text with *** for the passwords of URLs, and for whatever follows a name that sounds like a secret's."""
    text = _USERINFO.sub(_hidden, text)
    return _NAMED.sub(r"\g<name>***", text)


def _hidden(found: re.Match[str]) -> str:
    # A name alone may be a token: https://TOKEN@host.
    who = f"{found['user']}:***" if found["password"].startswith(":") else "***"
    return f"{found['scheme']}{who}@"
