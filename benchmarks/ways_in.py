"""The ways in: raw tensors against JSON for an image, and how fast a part of the log is replayed."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson
from modelmesh.cli.load_targets import bodies_of, kafka_target
from modelmesh.cli.local.mesh import Mesh
from modelmesh.models.adapters.registry import adapter_for
from modelmesh.producers.load_generator import LoadGenerator, percentile
from modelmesh.replay.replayer import Replay, ReplayRange
from modelmesh.sdk import AsyncModelMeshClient
from onnx import TensorProto, helper, save

from . import report
from .pipeline import Say, forest, temporary_mesh

SHAPE = (3, 224, 224)
IMAGES = 60
RATE, SECONDS = 200, 20.0


def mean_of_image(path: Path) -> Path:
    """Write a model that costs next to nothing: what is measured is the way there and back."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, *SHAPE])
    mean = helper.make_tensor_value_info("mean", TensorProto.FLOAT, [None, 3])
    node = helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0)
    graph = helper.make_graph([node], "mean", [image], [mean])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def bodies_of_image(image: np.ndarray[Any, Any]) -> dict[str, tuple[str, bytes, dict[str, str]]]:
    """The same image for each way in: path, body, headers."""
    tensor = {"name": "image", "shape": [1, *SHAPE], "datatype": "FP32"}
    header = orjson.dumps(
        {
            "inputs": [tensor | {"parameters": {"binary_data_size": image.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    )
    return {
        "JSON, /predict": (
            "/predict/image",
            orjson.dumps({"inputs": image}, option=orjson.OPT_SERIALIZE_NUMPY),
            {"Content-Type": "application/json"},
        ),
        "JSON, v2": (
            "/v2/models/image/infer",
            orjson.dumps({"inputs": [tensor | {"data": image.ravel()}]}, option=orjson.OPT_SERIALIZE_NUMPY),
            {"Content-Type": "application/json"},
        ),
        "binary, v2": (
            "/v2/models/image/infer",
            header + image.tobytes(),
            {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(header))},
        ),
    }


async def run(say: Say) -> dict[str, Any]:
    """Measure both on one mesh."""
    model, rows = forest(100, max_depth=8)
    with tempfile.TemporaryDirectory(prefix="modelmesh-ways-") as folder:
        async with temporary_mesh(workers=1) as mesh, AsyncModelMeshClient(mesh.url, timeout=120) as sdk:
            image = np.random.default_rng(0).random(SHAPE).astype("<f4")
            await sdk.register_model("image", mean_of_image(Path(folder) / "image.onnx"), sample=[image.tolist()])
            figures: dict[str, Any] = {"tensors": await _tensors(mesh.url, image, say)}
            await sdk.register_model("forest", model, sample=rows[:20])
            figures["replay"] = await _replay(mesh, model, rows, Path(folder), say)
    return figures


async def _tensors(url: str, image: np.ndarray[Any, Any], say: Say) -> dict[str, Any]:
    ways = bodies_of_image(image)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    async with aiohttp.ClientSession(url) as session:
        for _ in range(IMAGES):
            # In turn, so that a slow moment of the machine hits all alike.
            for name, (path, body, headers) in ways.items():
                began = time.perf_counter()
                async with session.post(path, data=body, headers=headers) as answer:
                    await answer.read()
                    if answer.status != 200:
                        raise SystemExit(f"{name}: HTTP {answer.status}")
                taken[name].append(time.perf_counter() - began)
    found = {
        name: {
            "bytes": len(ways[name][1]),
            "p50_ms": round(1000 * percentile(sorted(times), 50), 2),
            "p99_ms": round(1000 * percentile(sorted(times), 99), 2),
        }
        for name, times in taken.items()
    }
    say(f"an image: {found}")
    return found


async def _replay(mesh: Mesh, model: Any, rows: Any, folder: Path, say: Say) -> dict[str, Any]:
    begin = time.time()
    async with kafka_target(mesh.settings, "forest", bodies_of(rows.tolist())) as ask:
        recorded = (await LoadGenerator(ask).at_rate(RATE, seconds=SECONDS)).summary()
    end = time.time() + 0.1
    adapter = adapter_for("sklearn")
    path = folder / "model.joblib"
    adapter.save(model, path, None)
    predictor = adapter.load(path, None, rows[:20].tolist(), 1)
    compiled_path = folder / "model.onnx"
    compiled_path.write_bytes(adapter.compile(predictor, path)[0])
    compiled = adapter_for("onnx").load(compiled_path, predictor.signature, [], 1)
    replaying = Replay(mesh.settings, ReplayRange("forest", begin, end), compiled)
    began = time.perf_counter()
    found = (await replaying.run()).document()
    seconds = time.perf_counter() - began
    rate = found["requests"] / seconds
    say(f"replay: {found['requests']} requests in {seconds:.2f} s, {rate / RATE:.1f} times the recorded rate")
    return {
        "recorded_rate": recorded["rate"],
        "requests": found["requests"],
        "seconds": round(seconds, 3),
        "rate": round(rate, 1),
        "times": round(rate / RATE, 1),
        "model_share": round(replaying.model_seconds / seconds, 3),
        "agreement": found["agreement"]["share"],
    }


def aims(figures: dict[str, Any]) -> list[list[str]]:
    """The aims, what was found, and whether they are met."""
    times = figures["replay"]["times"]
    return [["a replay at max runs at 20 times the recorded rate", f"{times:.1f}", report.met(times >= 20)]]


def page(figures: dict[str, Any]) -> str:
    """The section for docs/benchmarks.md."""
    replayed = figures["replay"]
    return "\n\n".join(
        [
            f"One float32 tensor of {'x'.join(map(str, SHAPE))} through HTTP, gateway, log, router, worker and back, to a "
            f"model with almost no work; {IMAGES} requests of each, alternating.",
            report.table(
                ["path", "bytes", "p50 ms", "p99 ms"],
                [[name, each["bytes"], each["p50_ms"], each["p99_ms"]] for name, each in figures["tensors"].items()],
            ),
            f"A replay of {replayed['requests']} requests for the forest, recorded at {RATE}/s and replayed at `max` beside "
            f"the running mesh: {replayed['rate']:.0f}/s, {replayed['times']:.1f} times the recorded rate, "
            f"{replayed['agreement']:.2%} agreement.",
            report.table(["aim", "found", "met"], aims(figures)),
        ]
    )
