"""What anybody may read says nothing of where Kafka is, where keys are asked for."""

import aiohttp
from modelmesh.gateway.route import ROUTE_TABLE

from .gateway_alone import gateway_alone

KAFKA = "kafka.inside.example:19092"


async def texts(folder, auth):
    """Each open page by its route."""
    found = {}
    async with gateway_alone(folder, auth=auth, kafka=KAFKA) as alone, aiohttp.ClientSession(alone.url) as http:
        for route in (one for one in alone.app[ROUTE_TABLE].routes if one.scope == "public"):
            for path in (route.path, f"/v1{route.path}"):
                async with http.get(path.replace("{file}", "app.js")) as answer:
                    found[path] = answer.status, str(answer.headers) + await answer.text()
    return found


async def test_no_open_route_tells_a_stranger_where_kafka_is(tmp_path):
    found = await texts(tmp_path, "keys")
    assert found["/asyncapi.json"][0] == 200
    assert [path for path, (_, text) in found.items() if "kafka.inside" in text or "19092" in text] == []


async def test_without_keys_the_document_says_it(tmp_path):
    assert KAFKA in (await texts(tmp_path, "off"))["/asyncapi.json"][1]
