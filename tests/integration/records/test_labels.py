"""What was right, said after the fact, gives each version's accuracy while it serves."""

import json

import numpy as np
import pytest
from modelmesh.broker.kafka.connection import make_producer
from modelmesh.producers.dead_letters import DeadLetters
from modelmesh.schemas.errors import InvalidInput, ModelNotFound, NotFound
from sklearn.linear_model import LinearRegression

from ...shell import run
from ..waiting import until

pytestmark = pytest.mark.both_databases

REQUESTS = 30


async def figures(sdk, model, rows, version="1.0.0"):
    """The accuracy over all labels, once so many rows have met theirs."""
    found = {}

    async def there():
        try:
            found.update((await sdk.accuracy(model))["versions"][version]["all"])
        except (NotFound, KeyError):
            return False
        return found["rows"] == rows

    await until(there, f"{rows} labelled rows of {model}")
    return found


async def test_accuracy_is_what_counting_by_hand_gives_and_a_correction_counts(sdk, http, cancer):
    rows, truth, forest = cancer
    await sdk.register_model("labelled", forest, sample=rows[:20])
    answers = [await sdk.predict("labelled", rows[number].tolist()) for number in range(REQUESTS)]
    # Every third truth is turned round, so that some answers are wrong.
    said = {a.request_id: int(truth[n]) ^ (n % 3 == 0) for n, a in enumerate(answers)}
    right = sum(str(a.label) == str(said[a.request_id]) for a in answers)
    assert 0 < right < REQUESTS

    assert await sdk.send_labels("labelled", said) == REQUESTS
    assert (await figures(sdk, "labelled", REQUESTS))["accuracy"] == right / REQUESTS

    # Said anew: all are right now.
    await sdk.send_labels("labelled", {a.request_id: a.label for a in answers})

    async def corrected():
        return (await figures(sdk, "labelled", REQUESTS))["accuracy"] == 1.0

    await until(corrected, "the corrected labels count")
    done = run("accuracy", "labelled", "--url", sdk.url, "--json")
    assert json.loads(done.output)["versions"]["1.0.0"]["1 h"]["rows"] == REQUESTS
    errors = await sdk.errors("labelled")
    assert list(errors) == ["labelled"]


async def test_a_label_may_come_before_its_answer_and_for_several_rows_of_a_regressor(sdk, register, tmp_path):
    rows = np.arange(20.0).reshape(10, 2)
    await sdk.register_model("priced", LinearRegression().fit(rows, rows.sum(axis=1)), sample=rows)
    table = tmp_path / "labels.csv"
    table.write_text("request_id,label\nearly-1,1.5\n")
    done = run("label", "priced", table, "--url", sdk.url)
    assert "1 labels sent" in done.output
    await sdk.send_labels("priced", {"early-2": [1.0, 7.0], "never-asked": 3.0, "wrong-shape": [1.0, 2.0, 3.0]})
    for request_id, asked in (
        ("early-1", [0.0, 1.0]),
        ("early-2", [[0.0, 1.0], [2.0, 3.0]]),
        ("wrong-shape", [0.0, 1.0]),
    ):
        await sdk.predict("priced", asked, request_id=request_id)
    # |1 - 1.5| + |1 - 1| + |5 - 7| over three rows.
    assert (await figures(sdk, "priced", 3))["mean_absolute_error"] == pytest.approx(2.5 / 3, abs=1e-4)


async def test_a_number_that_is_given_again_begins_anew(sdk):
    rows = np.arange(6.0).reshape(3, 2)
    ones, twos = (LinearRegression().fit(rows, [answer] * 3) for answer in (1, 2))
    await sdk.register_model("numbered-again", ones, sample=rows)
    old = [await sdk.predict("numbered-again", [0.0, 1.0]) for _ in range(4)]
    await sdk.send_labels("numbered-again", {answer.request_id: 1.0 for answer in old[:3]})
    assert (await figures(sdk, "numbered-again", 3))["rows"] == 3
    await sdk.register_model("numbered-again", twos, sample=rows)
    await sdk.deploy("numbered-again", "2.0.0")
    await sdk.delete_version("numbered-again", "1.0.0")
    await sdk.register_model("numbered-again", twos, sample=rows, version="1.0.0")
    await sdk.deploy("numbered-again", "1.0.0")
    new = await sdk.predict("numbered-again", [0.0, 1.0])
    assert (new.version, new.value) == ("1.0.0", pytest.approx(2))
    # The last of the old bytes' answers gets its truth now; it says nothing of the new ones.
    await sdk.send_labels("numbered-again", {old[3].request_id: 1.0, new.request_id: 3.0})
    seen = await figures(sdk, "numbered-again", 1)
    assert seen["mean_absolute_error"] == pytest.approx(1)


async def test_nonsense_among_the_labels_stops_nobody(sdk, http, mesh, register):
    await register("still-labelled")
    values = (b"", b"{", b'{"request_id": "a b", "model": "x", "label": 1}', b'{"label": NaN}', b"\xff" * 100)
    async with make_producer(mesh.settings) as producer:
        nonsense = [await producer.send_and_wait(mesh.settings.topics().labels.name, value) for value in values]

    async def put_aside():
        found = {letter.source for letter in await DeadLetters(mesh.settings).list(200)}
        return {f"{at.topic}/{at.partition}/{at.offset}" for at in nonsense} <= found

    await until(put_aside, "each of them is a dead letter")
    answer = await sdk.predict("still-labelled", [0.0, 1.0])
    await sdk.send_labels("still-labelled", {answer.request_id: "a\0b"})
    await sdk.send_labels("still-labelled", {answer.request_id: r"a\u0000"})
    await sdk.send_labels("still-labelled", {answer.request_id: answer.value})
    assert (await figures(sdk, "still-labelled", 1))["mean_absolute_error"] == 0.0
    for body, says in (
        ({"labels": {}}, "labels"),
        ({"labels": {"a b": 1}}, "request_id"),
        ({"labels": {"a": {"b": 1}}}, "labels.a"),
    ):
        async with http.post("/labels/still-labelled", json=body) as response:
            assert response.status == 422
            assert says in (await response.json())["detail"]
    with pytest.raises(ModelNotFound, match="nobody"):
        await sdk.send_labels("nobody", {"a": 1})
    with pytest.raises(InvalidInput, match="model name"):
        await sdk.send_labels("No Such", {"a": 1})
