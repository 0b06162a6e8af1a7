"""A candidate that flips a fifth of the labels, as often one way as the other: the shares of the labels stay, and it is found."""

from __future__ import annotations

import asyncio

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from ..traffic import history


def _model(flipped):
    """Label of a number from 0 to 9: whether it is even, but for the flipped ones."""
    numbers = np.arange(10.0)[:, None]
    labels = [int(number % 2 == 0) ^ (number in flipped) for number in range(10)]
    return DecisionTreeClassifier(random_state=0).fit(numbers, labels), numbers


async def test_flipped_labels_are_found_though_their_shares_stay(sdk, kafka_client):
    for version, flipped in (("1.0.0", ()), ("2.0.0", (2, 3))):
        model, numbers = _model(flipped)
        await sdk.register_model("flipping", model, version=version, sample=numbers)
    await sdk.deploy("flipping", "1.0.0")
    await sdk.create_canary("flipping", "2.0.0", 50, mirror_share=1.0)

    async def ask():
        number = 0
        while True:
            number = (number + 7) % 10
            await kafka_client.predict("flipping", [float(number)], deadline=30)

    asking = asyncio.create_task(ask())
    try:
        event = await history(sdk, "flipping", "canary.warned")
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert event["data"]["what"] == "pairs"
    found = event["data"]["pairs"]
    assert found["confusions"].keys() == {"0 -> 1", "1 -> 0"}
    assert found["observed"] <= 300
    shown = await sdk.canary("flipping")
    assert shown["status"] == "running", "it is reported, not rolled back"
    await sdk.rollback_canary("flipping")
