"""Registering: immutable versions, lineage, paging; and the database under it."""

import asyncio

import joblib
import pytest
from modelmesh.schemas.documents.releases import Deployed
from modelmesh.schemas.errors import (
    InvalidInput,
    ModelNotFound,
    StaleGeneration,
    VersionExists,
    VersionInUse,
    VersionNotFound,
)
from sklearn.linear_model import LinearRegression, LogisticRegression

pytestmark = pytest.mark.both_databases

X = [[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [3.0, 1.0]]


@pytest.fixture(scope="module")
async def linear(sdk, tmp_path_factory):
    """Three files of a model of which version 1.0.0 is registered."""
    folder = tmp_path_factory.mktemp("linear")
    paths = []
    for slope in (1, 2, 3):
        path = folder / f"{slope}.joblib"
        joblib.dump(LinearRegression().fit(X, [slope * row[0] for row in X]), path)
        paths.append(path)
    registered = await sdk.register_model(
        "linear", paths[0], sample=X, metadata={"team": "payments"}, author="ada", data=X, version="1.0.0"
    )
    assert registered["ready"]
    assert registered["deployment"]["generation"] == 1
    return paths


async def test_a_version_keeps_where_it_comes_from(sdk, linear):
    (version, *_) = await sdk.versions("linear")
    assert version["metadata"] == {"team": "payments"}
    assert version["author"] == "ada"
    assert len(version["data_digest"]) == len(version["source_digest"]) == 64
    assert {"scikit-learn", "numpy"} <= version["libraries"].keys()
    assert version["parity"]["holds"] is True
    assert version["live"] is True


async def test_the_same_bytes_are_the_same_version_and_other_bytes_are_refused(sdk, linear):
    again = await sdk.register_model("linear", linear[0], sample=X, version="1.0.0")
    assert again["version"]["version"] == "1.0.0"
    with pytest.raises(VersionExists):
        await sdk.register_model("linear", linear[1], sample=X, version="1.0.0")


async def test_without_a_version_the_major_is_raised_and_it_waits_for_a_deployment(sdk, linear):
    registered = await sdk.register_model("linear", linear[1], sample=X, parent="1.0.0")
    assert registered["version"]["version"] == "2.0.0"
    assert registered["version"]["parent"] == "1.0.0"
    assert registered["deployment"] is None
    assert (await sdk.predict("linear", [1, 0])).version == "1.0.0"
    deployed = await sdk.deploy("linear", "2.0.0", reason="steeper")
    assert deployed["ready"]
    answer = await sdk.predict("linear", [1, 0])
    assert (answer.version, round(answer.value, 6)) == ("2.0.0", 2.0)


async def test_a_deployment_of_an_old_generation_is_refused(sdk, linear):
    generation = next(d["generation"] for d in await sdk.deployments() if d["model"] == "linear")
    await sdk.deploy("linear", "1.0.0", generation=generation)
    with pytest.raises(StaleGeneration):
        await sdk.deploy("linear", "2.0.0", generation=generation)
    assert (await sdk.predict("linear", [1, 0])).version == "1.0.0"


async def test_two_operators_at_once_do_not_mix(sdk, linear):
    generation = next(d["generation"] for d in await sdk.deployments() if d["model"] == "linear")
    outcomes = await asyncio.gather(
        *(sdk.deploy("linear", version, generation=generation) for version in ("1.0.0", "2.0.0")),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, StaleGeneration) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Deployed) for outcome in outcomes) == 1


async def test_the_history_follows_the_events(sdk, linear):
    await sdk.deploy("linear", "2.0.0", actor="grace", reason="because")

    async def newest():
        while True:
            event = (await sdk.history("linear"))[0]
            if event["data"].get("reason") == "because":
                return event
            await asyncio.sleep(0.05)

    event = await asyncio.wait_for(newest(), 10)
    assert (event["actor"], event["data"]["version"], event["kind"]) == ("grace", "2.0.0", "release.deployed")


async def test_versions_in_use_stay_and_others_can_go(sdk, linear):
    await sdk.register_model("linear", linear[2], sample=X, version="9.9.9")
    await sdk.deploy("linear", "2.0.0")
    with pytest.raises(VersionInUse):
        await sdk.delete_version("linear", "2.0.0")
    await sdk.delete_version("linear", "9.9.9")
    with pytest.raises(VersionNotFound):
        await sdk.deploy("linear", "9.9.9")
    with pytest.raises(ModelNotFound):
        await sdk.delete_version("nobody", "1.0.0")


async def test_models_are_listed_by_page_and_framework(sdk, linear, forest):
    assert {"linear", "forest"} <= {model["name"] for model in await sdk.models()}
    first, second = await sdk.models(per_page=1), await sdk.models(per_page=1, page=2)
    assert len(first) == len(second) == 1
    assert first != second
    assert await sdk.models(framework="torch") == []
    with pytest.raises(InvalidInput) as caught:
        await sdk.models(page=0)
    assert caught.value.field == "page"


async def test_fields_that_do_not_fit_are_named(sdk, linear):
    for options, field in (
        ({"version": "1.0"}, "version"),
        ({"parent": "7.7.7"}, "parent"),
        ({"batching": {"max_batch_size": 0}}, "batching.max_batch_size"),
    ):
        with pytest.raises(InvalidInput) as caught:
            await sdk.register_model("linear", linear[0], sample=X, **options)
        assert caught.value.field == field


async def test_registrations_at_once_get_versions_of_their_own(sdk):
    models = [LogisticRegression(C=c).fit(X, [0, 1, 0, 1]) for c in (0.1, 1, 10, 100)]
    registered = await asyncio.gather(*(sdk.register_model("parallel", model, sample=X) for model in models))
    assert sorted(r["version"]["version"] for r in registered) == ["1.0.0", "2.0.0", "3.0.0", "4.0.0"]


async def test_an_onnx_and_a_torch_model_are_served(sdk, tmp_path):
    torch = pytest.importorskip("torch", reason="pip install 'modelmesh[torch]'")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(1)).eval()
    rows = torch.rand(5, 4)
    expected = net(rows).detach().numpy()
    registered = await sdk.register_model("net", net, sample=rows)
    assert registered["version"]["served_as"] == "onnx"
    answer = await sdk.predict("net", rows)
    assert abs(answer.outputs["output"] - expected).max() < 1e-5
    as_is = await sdk.register_model("net", net, sample=rows, compile=False)
    assert as_is["version"]["served_as"] == "torch"
    await sdk.deploy("net", as_is["version"]["version"])
    answer = await sdk.predict("net", rows)
    assert abs(answer.outputs["output"] - expected).max() < 1e-5


async def test_the_api_describes_itself(http, mesh):
    async with http.get("/openapi.json") as answer:
        document = await answer.json()
    assert document["openapi"] == "3.1.0"
    assert {"/predict/{model}", "/models", "/deployments"} <= document["paths"].keys()
    async with http.get("/docs") as answer:
        page = await answer.text()
    assert "/predict/{model}" in page
    assert "http://" not in page.replace(mesh.url, "")
    assert "https://" not in page
