"""An invalid label is refused with an error that names the request."""

import pytest
from modelmesh.gateway.api.labels import LabelsRequest
from modelmesh.gateway.api.upload import parse
from modelmesh.schemas.errors import InvalidInput


@pytest.mark.parametrize(
    ("label", "shown"), [(None, "None"), ({}, "{}"), ([1, None], "None"), ([[1]], "[1]"), ({"a": 1}, "{'a': 1}")]
)
def test_an_invalid_label_is_refused(label, shown):
    with pytest.raises(InvalidInput) as refused:
        parse(LabelsRequest, {"labels": {"r-1": label}})
    said = f"labels.r-1: a label is a boolean, a number or a text, or a list of them, not {shown!r}"
    assert refused.value.detail == said
    assert refused.value.field == "labels.r-1"


@pytest.mark.parametrize("label", [True, 3, 2**70, 0.5, "yes", "", [], [1, "a", True]])
def test_a_valid_label_is_unchanged(label):
    kept = parse(LabelsRequest, {"labels": {"r-1": label}}).labels["r-1"]
    assert kept == label
    assert type(kept) is type(label)
