"""The base class of all errors, and its form over HTTP and Kafka: a problem document (RFC 9457)."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar


class ModelMeshError(Exception):
    """ModelMesh could not do this."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def __init__(
        self, detail: str | None = None, *, field: str | None = None, retry_after: float | None = None
    ) -> None:
        self.title = inspect.getdoc(type(self)) or type(self).__name__
        # The detail may quote input that is not encodable as UTF-8.
        self.detail = _text(detail or self.title)
        self.field = _text(field) if field is not None else None
        self.retry_after = retry_after
        self.headers: dict[str, str] = {}  # extra headers of the HTTP answer
        super().__init__(self.detail)

    def problem(self) -> dict[str, Any]:
        """Return the problem document: title, status, code, detail, and field and retry_after if set."""
        document: dict[str, Any] = {
            "type": f"urn:modelmesh:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.field is not None:
            document["field"] = self.field
        if self.retry_after is not None:
            document["retry_after"] = self.retry_after
        return document


def from_problem(document: dict[str, Any]) -> ModelMeshError:
    """Rebuild the typed error that `problem` described; an unknown code becomes a plain ModelMeshError."""
    kind = _tree(ModelMeshError).get(str(document.get("code")), ModelMeshError)
    retry_after = document.get("retry_after")
    return kind(
        document.get("detail"),
        field=document.get("field"),
        retry_after=float(retry_after) if retry_after is not None else None,
    )


def _tree(root: type[ModelMeshError]) -> dict[str, type[ModelMeshError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


def _text(given: str) -> str:
    return given if given.isascii() else given.encode(errors="backslashreplace").decode()
