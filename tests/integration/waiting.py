"""Wait for a condition instead of a time."""

import asyncio

import pytest


async def until(condition, what, seconds=30):
    """Return once `await condition()` is true; fail saying what did not happen."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                if await condition():
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"not within {seconds} s: {what}")
