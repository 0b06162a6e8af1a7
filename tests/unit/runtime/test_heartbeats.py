"""When a replica announces itself: at once on a change and on the first request, often while requests come, else seldom."""

import asyncio
import time

from modelmesh.runtime import heartbeats
from modelmesh.runtime.heartbeats import Announcer
from modelmesh.schemas.payloads.replicas import Heartbeat
from modelmesh.schemas.settings import MeshSettings

BUSY, IDLE = 0.01, 1000.0
SETTINGS = MeshSettings(heartbeat_interval=BUSY, idle_heartbeat_interval=IDLE)


class Sent:
    """An outbox that keeps the heartbeats that it is given."""

    def __init__(self):
        self.beats = []

    def send(self, topic, value, *, key):
        self.beats.append(Heartbeat.model_validate_json(value))

    async def until(self, condition):
        async with asyncio.timeout(60):
            while True:
                if self.beats and condition(self.beats):
                    return
                await asyncio.sleep(0.001)


def describe():
    return Heartbeat(replica="r", role="router", epoch="e", at=time.time(), pid=1)


async def test_an_idle_replica_speaks_on_a_change_and_on_its_first_request():
    sent = Sent()
    announcer = Announcer(SETTINGS, sent, describe)
    running = asyncio.create_task(announcer.run())
    await sent.until(len)
    announcer.announce()
    assert [beat.interval for beat in sent.beats] == [IDLE, IDLE]
    announcer.note_request()
    await sent.until(lambda beats: len(beats) >= 5)
    assert {beat.interval for beat in sent.beats[2:]} == {BUSY}
    running.cancel()


async def test_without_requests_a_busy_replica_becomes_idle_and_says_so(monkeypatch):
    monkeypatch.setattr(heartbeats, "IDLE_AFTER", 0.05)
    sent = Sent()
    announcer = Announcer(SETTINGS, sent, describe)
    running = asyncio.create_task(announcer.run())
    announcer.note_request()
    await sent.until(lambda beats: beats[-1].interval == IDLE)
    assert {beat.interval for beat in sent.beats[:-1]} == {BUSY}
    announcer.farewell()
    assert sent.beats[-1].leaving
    running.cancel()
