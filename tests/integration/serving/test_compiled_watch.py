"""A compiled form that is wrong is found out under traffic, and the model answers from then on, everywhere and for good."""

import numpy as np
import onnx
import pytest
from modelmesh.models.artifacts.store import ArtifactStore, fetch
from modelmesh.registry.storage.database import ModelRow, VersionRow, make_engine
from sklearn.linear_model import LinearRegression
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ..waiting import until

pytestmark = pytest.mark.both_databases


def one_more(form):
    """The same graph, but each answer is larger by one."""
    model = onnx.load_from_string(form)
    for node in model.graph.node:
        for position, name in enumerate(node.output):
            if name == "value":
                node.output[position] = "value_before"
    kind = next(each for each in model.graph.output if each.name == "value").type.tensor_type.elem_type
    model.graph.initializer.append(onnx.helper.make_tensor("one_more", kind, [], [1.0]))
    model.graph.node.append(onnx.helper.make_node("Add", ["value_before", "one_more"], ["value"]))
    return model.SerializeToString()


async def spoil(mesh, name, version, folder):
    """Put a wrong compiled form in the place of the proved one, as if the proof had missed something."""
    engine = make_engine(mesh.settings.database_url)
    try:
        async with AsyncSession(engine) as session, session.begin():
            query = select(VersionRow).join(ModelRow).where(ModelRow.name == name, VersionRow.version == version)
            row = await session.scalar(query)
            wrong = folder / "wrong.onnx"
            wrong.write_bytes(one_more(fetch(row.artifact_url, row.artifact_digest, folder / "cache").read_bytes()))
            row.artifact_digest, row.artifact_url = ArtifactStore(mesh.settings.artifacts_url).put(wrong)
    finally:
        await engine.dispose()


@pytest.mark.timeout(180)
async def test_a_wrong_compiled_form_is_replaced_by_the_model(mesh, sdk, tmp_path):
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(50, 3))
    model = LinearRegression().fit(rows, rows.sum(1))
    await sdk.register_model("compiled-watch", model, sample=rows[:20])
    registered = await sdk.register_model("compiled-watch", model, sample=rows[:20])
    assert registered["version"]["served_as"] == "onnx"
    await spoil(mesh, "compiled-watch", "2.0.0", tmp_path)
    await sdk.deploy("compiled-watch", "2.0.0")
    right = float(model.predict(rows[:1])[0])

    async def ask():
        return (await sdk.predict("compiled-watch", rows[0])).outputs["value"][0]

    async def answers_right():
        return await ask() == pytest.approx(right)

    async def registry_knows():
        return (await sdk.versions("compiled-watch"))[1]["served_as"] == "sklearn"

    async def event_is_told():
        return any(event["kind"] == "version.differs" for event in await sdk.history("compiled-watch"))

    for condition in (answers_right, registry_knows, event_is_told):
        await until(condition, condition.__name__)
    await sdk.deploy("compiled-watch", "1.0.0")
    await sdk.deploy("compiled-watch", "2.0.0")
    assert [await ask() for _ in range(10)] == pytest.approx([right] * 10)
