"""What every answer of the HTTP API is: the gateway writes it, the client reads it."""

from __future__ import annotations

from collections.abc import ItemsView, KeysView
from typing import Any, Self

from pydantic import BaseModel, PrivateAttr, ValidationError


class Document(BaseModel):
    """An answer of the HTTP API. Its fields are attributes: `registered.version.version`.

    `document["field"]` gives what the JSON has under that name, as do `in`, `get`, `keys`, `items`, `dict(document)` and
    `==` with a dict:
    of an answer that came from a gateway with all of its fields, those of a newer release of the service too.
    """

    _received: dict[str, Any] | None = PrivateAttr(default=None)

    @classmethod
    def received(cls, answer: dict[str, Any]) -> Self:
        """Return the document that came from a gateway.

        One that this release of the client cannot read, for a kind that it does not know, say, has its fields as they came.
        """
        try:
            document = cls.model_validate(answer)
        except ValidationError:
            document = cls.model_construct(**answer)
        document._received = answer
        return document

    def as_json(self) -> dict[str, Any]:
        """Return the document as JSON has it."""
        return self.model_dump(mode="json") if self._received is None else self._received

    def __getitem__(self, field: str) -> Any:
        return self.as_json()[field]

    def __eq__(self, other: object) -> bool:
        return self.as_json() == other if isinstance(other, dict) else super().__eq__(other)

    def __contains__(self, field: object) -> bool:
        return field in self.as_json()

    def get(self, field: str, default: Any = None) -> Any:
        """Return what the JSON has under a name, or the default."""
        return self.as_json().get(field, default)

    def keys(self) -> KeysView[str]:
        """Return the names that the JSON has."""
        return self.as_json().keys()

    def items(self) -> ItemsView[str, Any]:
        """Return the names and values that the JSON has."""
        return self.as_json().items()
