"""Trial ids are parsed and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.schemas.names import MODEL_NAME
from modelmesh.schemas.trial_id import TrialId, model_and_trial
from pydantic import BaseModel, ValidationError

from ..releases import full

names = st.from_regex(MODEL_NAME, fullmatch=True)


class Document(BaseModel):
    id: TrialId


@given(names, st.integers(1, 999_999_999))
def test_a_trial_id_is_read_as_it_was_written(name, number):
    trial = TrialId(name, number)
    assert str(trial) == f"{trial}" == f"{name}.{number}"
    assert TrialId.parse(str(trial)) == trial
    assert model_and_trial(str(trial)) == (name, trial)
    assert model_and_trial(name) == (name, None)
    written = Document(id=trial).model_dump_json()
    assert written == f'{{"id":"{name}.{number}"}}'
    assert Document.model_validate_json(written).id == trial


@given(st.text(max_size=20))
def test_any_text_is_a_trial_id_or_raises(text):
    try:
        assert TrialId.parse(text).model == text.partition(".")[0]
    except ValueError:
        with pytest.raises(ValidationError):
            Document(id=text)
    assert model_and_trial(text)[0] == text.partition(".")[0]


@pytest.mark.parametrize("text", ["m.x", "m.1.1", "m.-1", "m.1234567890", "m.१", "m. 1", "m.1\n"])
def test_a_suffix_that_is_no_number_gives_a_trial_that_does_not_exist(text):
    model, trial = model_and_trial(text)
    assert (model, trial.number) == ("m", 0)
    assert trial != full().id
