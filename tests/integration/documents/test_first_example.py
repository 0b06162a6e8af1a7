"""The first example, as people write it: a pipeline on a table, registered without a sample, and a second version."""

import numpy as np
import pandas as pd
import pytest
from modelmesh.schemas.errors import InvalidInput
from modelmesh.sdk import AsyncModelMeshClient, ModelMeshClient
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


@pytest.fixture(scope="module")
def transactions():
    """A table with a number and a text, and which of its rows were fraud."""
    generator = np.random.default_rng(1)
    table = pd.DataFrame(
        {"amount": generator.integers(1, 900, 500), "merchant": generator.choice(["Acme", "Globex", "Hooli"], 500)}
    )
    return table, ((table.amount > 400) & (table.merchant != "Hooli")).astype(int)


def pipeline(final):
    columns = [("number", StandardScaler(), ["amount"]), ("text", OneHotEncoder(handle_unknown="ignore"), ["merchant"])]
    return Pipeline([("columns", ColumnTransformer(columns)), ("model", final)])


def test_the_first_example_runs_as_it_is(mesh, transactions):
    table, fraud = transactions
    clf = pipeline(LogisticRegression()).fit(table, fraud)
    clf_v2 = pipeline(RandomForestClassifier(20, random_state=0)).fit(table, fraud)

    client = ModelMeshClient(base_url=mesh.url)
    registered = client.register_model(
        name="fraud-detector",
        model_object=clf,
        framework="sklearn",
        metadata={"team": "risk", "trained_on": pd.Timestamp("2026-01-01")},
    )
    inputs = {spec["name"]: spec["dtype"] for spec in registered["version"]["signature"]["inputs"]}
    assert inputs == {"amount": "float64", "merchant": "string"}
    row = pd.DataFrame([{"amount": 200, "merchant": "Acme"}])
    answer = client.predict("fraud-detector", inputs={"amount": 200, "merchant": "Acme"})
    assert answer.label == clf.predict(row)[0]
    assert answer.probabilities == pytest.approx(clf.predict_proba(row)[0], abs=1e-5)
    whole = client.predict("fraud-detector", table)
    assert (whole.to_numpy("label") == clf.predict(table)).all()

    second = client.register_model("fraud-detector", model_object=clf_v2, framework="sklearn")
    assert second["version"]["version"] == "2.0.0"
    client.create_canary(
        name="fraud-detector", candidate_version="2.0.0", initial_percentage=5, auto_rollback_threshold=0.02
    )
    client.promote_canary("fraud-detector")
    # Asked through a mesh whose routers hear of it a moment later: until it is the second that answers.
    while (answer := client.predict("fraud-detector", inputs={"amount": 200, "merchant": "Acme"})).version != "2.0.0":
        pass
    assert answer.label == clf_v2.predict(row)[0]
    client.create_shadow(name="fraud-detector", production_version="2.0.0", shadow_version="1.0.0")
    client.stop_shadow("fraud-detector")
    client.close()


async def test_the_async_client_has_both_names_for_the_address(mesh):
    for client in (AsyncModelMeshClient(base_url=mesh.url), AsyncModelMeshClient(url=mesh.url)):
        async with client:
            assert client.url == mesh.url
            assert await client.models()
    with pytest.raises(InvalidInput, match="are the same parameter"):
        ModelMeshClient("http://a", base_url="http://b")


async def test_a_missing_value_is_one_on_every_road(mesh, sdk, http):
    """What the SDK, JSON, the Open Inference Protocol and Kafka call missing is what the imputer fills in."""
    table = pd.DataFrame({"age": [20.0, np.nan, 60.0, 30.0] * 10, "n": [1.0, 2.0, 3.0, np.nan] * 10})
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(table, [0, 1, 1, 0] * 10)
    await sdk.register_model("with-gaps", model, sample=table[:8])
    ages, numbers = [20, None, 60, 30], [1, 2, 3, None]
    rows = [{"age": age, "n": number} for age, number in zip(ages, numbers, strict=True)]
    answers = [(await sdk.predict("with-gaps", asked)).to_numpy("probabilities") for asked in (table[:4], rows)]
    async with AsyncModelMeshClient(mesh.url, kafka=mesh.settings.kafka) as direct:
        answers.append((await direct.predict("with-gaps", table[:4])).to_numpy("probabilities"))
    tensors = [
        {"name": name, "shape": [4], "datatype": "FP64", "data": data} for name, data in (("age", ages), ("n", numbers))
    ]
    async with http.post("/v2/models/with-gaps/infer", json={"inputs": tensors}) as answer:
        outputs = {output["name"]: output["data"] for output in (await answer.json())["outputs"]}
    answers.append(np.array(outputs["probabilities"]).reshape(4, 2))
    for found in answers:
        np.testing.assert_allclose(found, model.predict_proba(table[:4]), atol=1e-5)
