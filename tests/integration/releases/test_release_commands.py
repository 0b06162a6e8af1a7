"""The commands for releases."""

import contextlib
import json
import re

from modelmesh.schemas.errors import NotFound

from ..waiting import until


async def test_a_canary_from_the_shell(modelmesh, kafka_client, register):
    model = await register("shell-canary", {}, {})
    assert "canary of shell-canary 2.0.0 gets 5 %" in await modelmesh(
        "canary", "start", model, "2.0.0", "--percentage", "5"
    )
    await kafka_client.predict(model, [0, 1])

    async def shown():
        return "evidence against it" in await modelmesh("canary", "show", model)

    await until(shown, "the canary's evidence")
    assert "gets 50 %" in await modelmesh("canary", "percentage", model, "50")
    assert "2.0.0 is promoted" in await modelmesh("canary", "promote", model)
    started = json.loads(
        await modelmesh("canary", "start", model, "3.0.0", "--steps", "5,50", "--hold", "600", "--json")
    )
    assert [step["percentage"] for step in started["deployment"]["canary"]["steps"]] == [5, 50]
    assert "is rolled back" in await modelmesh("canary", "rollback", model, "--reason", "I changed my mind")


async def test_a_shadow_from_the_shell(modelmesh, kafka_client, register):
    model = await register("shell-shadow", {"scale": 4.0})
    assert "shadows 1.0.0" in await modelmesh("shadow", "start", model, "2.0.0")

    async def compared():
        # The router may receive the shadow's release late, and a busy machine sheds copies.
        answers = await kafka_client.predict_many(model, [[0, number] for number in range(1, 21)])
        assert {answer["version"] for answer in answers} == {"1.0.0"}
        with contextlib.suppress(NotFound):  # not published yet
            shown = await modelmesh("shadow", "show", model, "--json")
            return json.loads(shown[shown.index("{") :])["paired"] >= 20
        return False

    await until(compared, "20 pairs")
    assert re.search(r"\d\d+ paired, \d+ shed", await modelmesh("shadow", "show", model))
    assert "is stopped" in await modelmesh("shadow", "stop", model)


async def test_an_experiment_from_the_shell(modelmesh, kafka_client, register):
    model = await register("shell-experiment", {})
    started = await modelmesh("experiment", "start", model, "old=1.0.0:50", "new=2.0.0:50", "--name", "old or new")
    assert "old (1.0.0) 50%, new (2.0.0) 50%" in started
    await kafka_client.predict(model, [0, 1])

    async def shown():
        return "1.0.0" in await modelmesh("experiment", "show", model)

    await until(shown, "results")
    assert "shell-experiment 2.0.0 is live" in await modelmesh("experiment", "stop", model, "--winner", "new")


async def test_latency_and_drift_from_the_shell(modelmesh, kafka_client, register):
    model = await register("shell-monitoring")
    await kafka_client.predict(model, [0, 1])

    async def shown():
        return model in await modelmesh("latency", model)

    await until(shown, "the model's latency")
    # One, or more if the request was retried.
    assert re.search(r"learning the reference, \d rows so far", await modelmesh("drift", model))
