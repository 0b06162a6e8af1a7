"""The id of a trial, such as `fraud.7`."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

# A model's name has no dot (see `names.MODEL_NAME`), and a generation has far fewer digits.
_ID = re.compile(r"([^.]+)\.([0-9]{1,9})")
_NO_TRIAL = 0  # trials are numbered from 1


class TrialId(NamedTuple):
    """A model, and the generation with which its trial began. Its text form, in all documents, is `fraud.7`."""

    model: str
    number: int

    @classmethod
    def parse(cls, text: str) -> TrialId:
        """Return the trial id in a text. Raises ValueError."""
        found = _ID.fullmatch(text)
        if found is None:
            raise ValueError(f"a trial is named MODEL.NUMBER, such as fraud.7, not {text[:80]!r}")
        return cls(found[1], int(found[2]))

    def __str__(self) -> str:
        return f"{self.model}.{self.number}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), text]),
            serialization=core_schema.to_string_ser_schema(),
        )


def model_and_trial(text: str) -> tuple[str, TrialId | None]:
    """Return the model and trial in a text: `fraud` has trial None, the running one; `fraud.7` has trial 7.

    If the text after the dot is not a number, the trial is one that does not exist.
    """
    model, _, number = text.partition(".")
    if not number:
        return model, None
    try:
        return model, TrialId.parse(text)
    except ValueError:
        return model, TrialId(model, _NO_TRIAL)
