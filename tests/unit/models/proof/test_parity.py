import numpy as np
import pytest
from modelmesh.models.proof.parity import compare

WANT = {"label": np.array([0, 1]), "probabilities": np.array([[0.25, 0.75], [0.5, 0.5]])}


def test_equal_answers_agree_whatever_their_width():
    found = {"label": np.array([0, 1], dtype=np.int32), "probabilities": WANT["probabilities"].astype(np.float32)}
    assert compare(WANT, found).holds


@pytest.mark.parametrize(
    "found",
    [
        {**WANT, "label": np.array([0, 0])},
        {**WANT, "probabilities": WANT["probabilities"] + 2e-5},
        {**WANT, "probabilities": WANT["probabilities"] * np.nan},
        {**WANT, "probabilities": WANT["probabilities"][:, :1]},
        {"label": WANT["label"]},
    ],
)
def test_any_difference_breaks_parity(found):
    assert not compare(WANT, found).holds


def test_large_numbers_are_compared_relatively():
    assert compare({"value": np.array([1e6])}, {"value": np.array([1e6 + 1])}).holds
    assert not compare({"value": np.array([1e6])}, {"value": np.array([1e6 + 100])}).holds
