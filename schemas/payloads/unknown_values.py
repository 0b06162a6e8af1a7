"""Values of another release of ModelMesh in fields that have a fixed set of values: they are read, kept, and never acted on.

A record from the log is read as JSON. There an unknown value becomes an `Unknown`, which equals no known value, so that code
that compares with known values does nothing. It is written as it was read. In Python code, and in the bodies of HTTP requests,
an unknown value is an error as usual: their author is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

# A longer text is no name of a value.
LONGEST = 100


class Unknown(str):
    """The text of a value that this release does not know."""

    __slots__ = ()


class _OrUnknown:
    """Makes a field of literals accept any other short text in JSON."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        known = handler(source)

        def read(value: Any, validate: core_schema.ValidatorFunctionWrapHandler, info: Any) -> Any:
            if isinstance(value, Unknown):
                return value
            try:
                return validate(value)
            except ValidationError:
                if info.mode == "json" and isinstance(value, str) and 0 < len(value) <= LONGEST:
                    return Unknown(value)
                raise

        schema = core_schema.with_info_wrap_validator_function(
            read, known, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )
        schema["metadata"] = {"known": known}
        return schema

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema of the known values."""
        metadata: Any = schema.get("metadata")
        return handler(metadata["known"])


T = TypeVar("T")
# A field of literals that also takes what another release writes.
OrUnknown = Annotated[T, _OrUnknown()]


def unknown_values(value: Any, place: str = "") -> Iterator[str]:
    """Iterate over the unknown values in a record, each as its place and text: `strategy 'tournament'`."""
    if isinstance(value, Unknown):
        yield f"{place} {str(value)!r}"
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from unknown_values(getattr(value, name), f"{place}.{name}" if place else name)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from unknown_values(inner, f"{place}.{name}")
    elif isinstance(value, tuple | list):
        for number, inner in enumerate(value):
            yield from unknown_values(inner, f"{place}.{number}")
