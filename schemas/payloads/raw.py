"""Values that are no documents of ours: what a caller sent or got, what a table keeps, what nobody could read."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import Field, WithJsonSchema

# The caller's own bytes; how they are to be read, headers say.
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
    dict[str, Any], Field(description="what is known of one model: docs/releases.md explains the figures")
]
TableValue: TypeAlias = Annotated[str, Field(description="JSON, as text")]
