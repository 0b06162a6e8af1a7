"""Several callers delete the same rows of the registry at once: each gets an answer, and none of them a warning."""

import asyncio
import warnings

from modelmesh.models.artifacts.store import ArtifactStore
from modelmesh.models.proof.proof import prove
from modelmesh.registry.registration import Registration
from modelmesh.registry.registry import Registry
from modelmesh.registry.storage.database import make_engine
from modelmesh.registry.storage.migrate import upgrade
from modelmesh.schemas.errors import NotFound

from benchmarks.models.chaos_models import SAMPLE, chaos_model


async def test_versions_and_models_deleted_by_several_at_once(database_url, tmp_path):
    await upgrade(database_url)
    source = chaos_model(tmp_path / "model.onnx")
    proof = prove(source, "onnx", None, SAMPLE, False, tmp_path / "compiled")
    engine = make_engine(database_url)
    registry = Registry(engine, ArtifactStore(f"file://{tmp_path / 'artifacts'}"))

    async def registered(name):
        for version in ("1.0.0", "2.0.0"):
            registration = Registration(name=name, framework="onnx", version=version)
            await registry.add(registration, proof, source, tmp_path / "compiled")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for round_ in range(5):
            name = f"m{round_}"
            await registered(name)
            removals = await asyncio.gather(*(registry.delete_model(name) for _ in range(4)))
            assert {"1.0.0", "2.0.0"} in [set(removed) for removed in removals]
            await registered(name)
            asked = ("1.0.0", "1.0.0", "2.0.0", "2.0.0")
            done = await asyncio.gather(
                *(registry.delete_version(name, version) for version in asked), return_exceptions=True
            )
            assert all(outcome is None or isinstance(outcome, NotFound) for outcome in done), done
            assert await registry.delete_model(name) == {}  # the model goes with its last version
    await engine.dispose()
