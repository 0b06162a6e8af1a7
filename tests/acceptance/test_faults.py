"""The benchmark of faults on a shorter run: what its callers notice may vary, that nothing is lost may not."""

import pytest

from benchmarks.faults import faults
from benchmarks.injected_faults import FAULTS


@pytest.mark.timeout(600)
async def test_nothing_is_lost_doubled_or_wrong_while_parts_die():
    found = await faults(print, FAULTS, runs=1)
    assert list(found) == list(FAULTS)
    for name, figures in found.items():
        assert (figures["wrong"], figures["lost"], figures["twice"]) == (0, 0, 0), name
        audit = figures["audit"]
        assert audit["accepted"] > 1000
        assert (audit["without_outcome"], audit["contradicted"], audit["rows_without_outcome"]) == (0, 0, 0), name
        assert audit["rows"] == audit["accepted"], name
    for name in ("kill -9 a worker", "kill -9 a router", "kill -9 the Faust app"):
        assert found[name]["errors"] == {}, name
    # While there is no broker a request is answered or clearly refused.
    assert set(found["restart the broker"]["errors"]) <= {
        "broker_unavailable",
        "deadline_exceeded",
        "no_worker",
        "overloaded",
    }
