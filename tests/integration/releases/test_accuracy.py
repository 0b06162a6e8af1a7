"""True labels decide a canary: a candidate that answers without a failure, but wrongly, is rolled back."""

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from ..traffic import history, release_of
from ..waiting import until

pytestmark = pytest.mark.both_databases

ROWS = np.arange(40.0).reshape(20, 2)
TRUTH = (ROWS[:, 0] >= 20).astype(int)


async def test_a_candidate_that_is_right_less_often_is_rolled_back(sdk):
    for truth in (TRUTH, 1 - TRUTH):
        await sdk.register_model("truthful", DecisionTreeClassifier().fit(ROWS, truth), sample=ROWS)
    await sdk.deploy("truthful", "1.0.0")
    # The answers' distribution and the latency must not decide.
    await sdk.create_canary("truthful", "2.0.0", 50, latency_tolerance=None)

    async def rolled_back():
        answers = {number: await sdk.predict("truthful", ROWS[number].tolist()) for number in range(len(ROWS))}
        await sdk.send_labels("truthful", {answer.request_id: int(TRUTH[n]) for n, answer in answers.items()})
        return (await release_of(sdk, "truthful"))["strategy"] == "full"

    await until(rolled_back, "labels roll the candidate back")
    event = await history(sdk, "truthful", "canary.rolled_back")
    assert event["actor"] == "judge"
    assert "it is right less often than stable: 0 of" in event["data"]["reason"]
    compared = event["data"]["evidence"]["comparisons"]["accuracy"]
    assert compared["unit"] == "labelled requests"
    assert compared["versions"]["1.0.0"]["accuracy"] == 1.0
    assert event["data"]["evidence"]["versions"]["2.0.0"]["failed"] == 0
