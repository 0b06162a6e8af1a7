"""Collect the metrics of all roles of a local mesh; its gateway serves them as one page."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import orjson

# Short, since a dead or stuck role must not delay the page.
TIMEOUT = aiohttp.ClientTimeout(total=0.5)


async def metrics_of_others(state_file: Path, own_name: str) -> dict[str, str]:
    """Return the metrics page of each other role, by name; roles that do not respond in time are left out."""
    try:
        state = orjson.loads(await asyncio.to_thread(state_file.read_bytes))
        ports = {member["name"]: int(member["admin_port"]) for member in state["members"] if member["name"] != own_name}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        pages = await asyncio.gather(*(_page(session, port) for port in ports.values()))
    return {name: page for name, page in zip(ports, pages, strict=True) if page is not None}


async def _page(session: Any, port: int) -> str | None:
    try:
        async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
            return str(await response.text()) if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError):
        return None
