"""Waits for conditions."""

import asyncio
import contextlib

import pytest
from modelmesh.broker.views.replicas import ReplicaView
from modelmesh.schemas.errors import NotFound


async def until(condition, what, seconds=90):
    """Return once `await condition()` is true; fail with `what` after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                if await condition():
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"not within {seconds} s: {what}")


async def both_workers_serve(mesh, model):
    """Return once both workers have partitions and have loaded the model."""
    view = ReplicaView(mesh.settings)
    following = asyncio.create_task(view.run())

    async def both():
        loads = [beat.models[model] for beat in view.live() if beat.role == "worker" and model in beat.models]
        return sum(bool(load.partitions and load.loaded) for load in loads) == 2

    try:
        await until(both, f"both workers serve {model}")
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def logged(sdk, request_id):
    """Return the request's row in the inference log, once it has an outcome."""
    found = {}

    async def there():
        with contextlib.suppress(NotFound):
            found.update(await sdk.inference(request_id))
        return found.get("status") is not None

    await until(there, f"{request_id} in the inference log")
    return found
