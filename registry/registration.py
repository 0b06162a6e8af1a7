"""The fields of a registration request."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from ..schemas.errors import InvalidInput
from ..schemas.names import check_model_name, parse_version
from ..schemas.payloads.releases import Batching, Framework
from ..schemas.payloads.signatures import Signature


class Registration(BaseModel):
    """The fields besides the file. The default version has the next major number; the default sample is synthetic."""

    model_config = ConfigDict(extra="forbid")

    name: str
    framework: Framework
    version: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    author: str = Field(default="", max_length=128)
    parent: str | None = Field(default=None, description="the version that this one was made from")
    sample: list[Any] = Field(default_factory=list, description="rows as /predict takes them")
    reference: list[Any] = Field(
        default_factory=list, max_length=100_000, description="rows that live rows are compared with, to see drift"
    )
    signature: Signature | None = None
    batching: Batching | None = None
    cache_ttl_seconds: float = Field(
        default=0.0, ge=0, le=30 * 86400, description="how long an answer may be given again; 0: never"
    )
    compile: bool = True
    author_signature: str = Field(
        default="", max_length=200, description="`modelmesh sign` of the file, where code is taken from signers alone"
    )
    data_digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the training data")

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        return check_model_name(name)

    @field_validator("version", "parent")
    @classmethod
    def _is_a_version(cls, version: str | None, info: ValidationInfo) -> str | None:
        if version is not None:
            try:
                parse_version(version)
            except InvalidInput as error:
                raise InvalidInput(error.detail, field=info.field_name) from None
        return version
