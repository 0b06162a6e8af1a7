"""Read the metrics of a mesh's roles."""

import aiohttp
from prometheus_client.parser import text_string_to_metric_families


async def samples(mesh, role):
    """All samples of all replicas of a role."""
    found = []
    async with aiohttp.ClientSession() as session:
        for member in mesh.supervisor.members:
            if member.role == role:
                async with session.get(f"http://127.0.0.1:{member.admin_port}/metrics") as answer:
                    for family in text_string_to_metric_families(await answer.text()):
                        found += family.samples
    return found


async def total(mesh, role, name, **labels):
    """The sum of a metric over all replicas of a role."""
    return sum(
        sample.value
        for sample in await samples(mesh, role)
        if sample.name == name and labels.items() <= sample.labels.items()
    )
