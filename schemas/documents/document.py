"""The base class of the HTTP API's answers, which the gateway writes and the client reads."""

from __future__ import annotations

from collections.abc import ItemsView, KeysView
from typing import Any, Self

from pydantic import BaseModel, PrivateAttr, ValidationError


class Document(BaseModel):
    """An answer of the HTTP API. Its fields are attributes: `registered.version.version`.

    `document["field"]`, `in`, `get`, `keys`, `items`, `dict(document)` and `==` with a dict use the JSON as it was received,
    including fields of a newer release of the service.
    """

    _received: dict[str, Any] | None = PrivateAttr(default=None)

    @classmethod
    def received(cls, answer: dict[str, Any]) -> Self:
        """Return a document received from a gateway.

        If it does not validate, because it is of a newer release, say, its fields are not converted.
        """
        try:
            document = cls.model_validate(answer)
        except ValidationError:
            document = cls.model_construct(**answer)
        document._received = answer
        return document

    def as_json(self) -> dict[str, Any]:
        """Return the document as JSON."""
        return self.model_dump(mode="json") if self._received is None else self._received

    def __getitem__(self, field: str) -> Any:
        return self.as_json()[field]

    def __eq__(self, other: object) -> bool:
        return self.as_json() == other if isinstance(other, dict) else super().__eq__(other)

    def __contains__(self, field: object) -> bool:
        return field in self.as_json()

    def get(self, field: str, default: Any = None) -> Any:
        """Return a field of the JSON, or the default."""
        return self.as_json().get(field, default)

    def keys(self) -> KeysView[str]:
        """Return the names of the JSON's fields."""
        return self.as_json().keys()

    def items(self) -> ItemsView[str, Any]:
        """Return the names and values of the JSON's fields."""
        return self.as_json().items()
