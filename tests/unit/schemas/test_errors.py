import pytest
from modelmesh.schemas import errors
from modelmesh.schemas.problem import _tree


@pytest.mark.parametrize("kind", _tree(errors.ModelMeshError).values(), ids=lambda kind: kind.__name__)
def test_each_error_survives_as_a_problem_document(kind):
    error = kind("what went wrong", field="amount", retry_after=2.0)
    again = errors.from_problem(error.problem())
    assert type(again) is kind
    assert (again.detail, again.field, again.retry_after) == ("what went wrong", "amount", 2.0)
    assert again.problem() == error.problem()


def test_codes_are_unique_and_messages_come_from_docstrings():
    tree = _tree(errors.ModelMeshError)
    assert len(tree) > 15
    for code, kind in tree.items():
        assert kind.code == code
        assert 400 <= kind.status < 600
    assert errors.DeadlineExceeded().detail == "The deadline passed before there was an answer."


def test_an_unknown_code_is_still_an_error():
    assert type(errors.from_problem({"code": "from-the-future"})) is errors.ModelMeshError
