"""What every document of the HTTP API is."""

from __future__ import annotations

from pydantic import BaseModel


class Document(BaseModel):
    """An answer of the HTTP API: the gateway writes it, the client reads it."""
