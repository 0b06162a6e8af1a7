"""An untrusted model is proved within limits. tests/security/models/test_sandbox.py tests what it can reach."""

import joblib
import pytest
from modelmesh.models.proof.proof import Limits, prove_in_fresh_process
from modelmesh.schemas.errors import RegistrationRefused

GIGABYTE = 1024**3


class Executes:
    """Executes code when it is unpickled."""

    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return exec, (self.code,)


async def prove(path, tmp_path, **limits):
    allowed = Limits(**({"allow_pickles": True, "memory_bytes": 32 * GIGABYTE, "file_bytes": GIGABYTE} | limits))
    with pytest.raises(RegistrationRefused) as refused:
        await prove_in_fresh_process(
            path, "sklearn", None, [[1.0]], True, tmp_path / "compiled", limits=allowed, timeout=60
        )
    return refused.value.detail


@pytest.mark.parametrize(
    ("code", "limits"),
    [
        ("bytearray(40 * 1024**3)", {"memory_bytes": 8 * GIGABYTE}),
        ("open('/tmp/modelmesh-too-large', 'wb').write(bytes(3 * 1024**2))", {"file_bytes": 1024**2}),
        ("import os; os._exit(7)", {}),
    ],
)
async def test_what_takes_too_much_or_dies_is_refused_and_hurts_nobody(tmp_path, code, limits):
    path = tmp_path / "model.joblib"
    joblib.dump(Executes(code), path)
    assert await prove(path, tmp_path, **limits)


async def test_the_refusal_of_a_pickle_names_it(tmp_path):
    path = tmp_path / "model.joblib"
    joblib.dump(Executes("raise SystemExit"), path)
    assert "pickle" in await prove(path, tmp_path, allow_pickles=False)
