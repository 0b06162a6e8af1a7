"""Values without a class: bodies of requests and replies, table entries, unreadable records."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import Field, WithJsonSchema

# The caller's bytes; the headers give the content type.
Prediction: TypeAlias = Annotated[
    bytes,
    WithJsonSchema(
        {
            "oneOf": [
                {"type": "object", "required": ["inputs"], "description": "a request: a row, rows or named features"},
                {"type": "object", "required": ["model", "version", "outputs"], "description": "an answer"},
                {
                    "type": "object",
                    "required": ["title", "status", "code", "detail"],
                    "description": "a problem (RFC 9457)",
                },
            ]
        }
    ),
]
UnreadRecord: TypeAlias = Annotated[bytes, WithJsonSchema({"description": "the record's value, or its beginning"})]
Statistic: TypeAlias = Annotated[
    dict[str, Any], Field(description="figures of one model, explained in docs/releases.md")
]
TableValue: TypeAlias = Annotated[str, Field(description="JSON, as text")]
