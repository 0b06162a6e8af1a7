"""The types of a signature."""

import numpy as np
import pytest
from modelmesh.models.values.inference_tensors import DATATYPE_OF, DATATYPES
from modelmesh.models.values.tensors import NUMPY_DTYPES
from modelmesh.schemas.errors import ModelRefusedInput, from_problem
from modelmesh.schemas.payloads.signatures import DType, Signature, TensorSpec


def test_a_signature_that_was_stored_before_still_reads() -> None:
    stored = '{"inputs":[{"name":"amount","dtype":"float64","shape":[-1]}],"outputs":[]}'
    (spec,) = Signature.model_validate_json(stored).inputs
    assert spec == TensorSpec(name="amount", dtype="float64")
    assert not spec.missing


@pytest.mark.parametrize("dtype", DType.__args__)  # type: ignore[attr-defined]
def test_each_type_is_a_numpy_type_and_has_a_name_in_the_protocol(dtype: DType) -> None:
    assert DATATYPE_OF[dtype] in DATATYPES
    if dtype not in ("datetime", "string", "object"):
        assert DATATYPES[DATATYPE_OF[dtype]] is NUMPY_DTYPES[dtype]
        assert np.dtype(NUMPY_DTYPES[dtype]).name == dtype


def test_what_the_model_refuses_is_the_callers_error() -> None:
    error = from_problem(ModelRefusedInput("unknown category 'Paris'").problem())
    assert isinstance(error, ModelRefusedInput)
    assert error.status == 422
