"""Which replicas are taken for alive: by what they promised, and by what they owe after a request."""

import asyncio
import time

import pytest
from aiokafka import ConsumerRecord
from modelmesh.broker.views.replicas import ReplicaView
from modelmesh.schemas.payloads.replicas import Heartbeat
from modelmesh.schemas.settings import MeshSettings

SETTINGS = MeshSettings(heartbeat_interval=0.2, idle_heartbeat_interval=1.0, replica_timeout=0.6)


class Clock:
    """The loop's clock, set by the test."""

    now = 1000.0

    def time(self):
        return self.now


@pytest.fixture
async def view():
    view = ReplicaView(SETTINGS)
    view._loop = Clock()
    view.ready.set()
    return view


def hear(view, name, interval=0.2, *, role="worker", partitions=(), at=None):
    idle = interval > 0.5
    beat = Heartbeat(
        replica=name, role=role, epoch="e", at=0.0, pid=1, interval=interval, idle=idle, partitions=partitions
    )
    stamp = int(1000 * (time.time() if at is None else at))
    view._on_record(ConsumerRecord("t", 0, 0, stamp, 0, b"", beat.model_dump_json().encode(), None, 0, 0, ()))


def alive(view):
    return {beat.replica for beat in view.live()}


def test_a_replica_is_alive_until_its_next_heartbeat_is_overdue(view):
    hear(view, "busy", 0.2)
    hear(view, "idle", 1.0)
    hear(view, "older role", 0.0)
    view._loop.now += 0.59
    assert alive(view) == {"busy", "idle", "older role"}
    view._loop.now += 0.02
    assert alive(view) == {"idle"}
    view._loop.now += 0.78
    assert alive(view) == {"idle"}
    view._loop.now += 0.02
    assert alive(view) == set()


def test_an_idle_replica_owes_a_heartbeat_for_a_request(view):
    hear(view, "dead", 1.0)
    hear(view, "quick", 1.0)
    view.expect("dead")
    view.expect("quick")
    view.expect("nobody")
    view._loop.now += 0.5
    view.expect("dead")  # a second request gives it no more time
    hear(view, "quick", 0.2)
    view._loop.now += 0.11
    assert alive(view) == {"quick"}
    hear(view, "dead", 1.0)  # it was late
    assert alive(view) == {"quick", "dead"}


def test_a_router_is_expected_by_the_partition_that_a_request_went_to(view):
    hear(view, "one", 1.0, role="router", partitions=(0, 1))
    hear(view, "two", 1.0, role="router", partitions=(2,))
    view.expect_router(1)
    view._loop.now += 0.61
    assert alive(view) == {"two"}


def test_what_was_said_before_the_view_began_counts_from_then(view):
    view.ready.clear()
    hear(view, "lately", 1.0, at=time.time() - 0.5)
    hear(view, "long ago", 1.0, at=time.time() - 30)
    hear(view, "by a clock that is ahead", 1.0, at=time.time() + 30)
    assert alive(view) == {"lately", "by a clock that is ahead"}


def test_of_two_holders_of_a_partition_the_last_one_is_expected(view):
    hear(view, "before", 1.0, role="router", partitions=(0, 1))
    view._loop.now += 0.1
    hear(view, "now", 1.0, role="router", partitions=(1,))
    view.expect_router(1)
    view._loop.now += 0.61
    assert alive(view) == {"before"}


async def test_settings_that_do_not_fit_leave_a_replica_some_time():
    view = ReplicaView(MeshSettings(heartbeat_interval=2.0, replica_timeout=0.6))
    view._loop = Clock()
    view.ready.set()
    hear(view, "slow", 2.0)
    view._loop.now += 2.1
    assert alive(view) == {"slow"}


async def test_a_waiter_does_not_miss_a_heartbeat_of_the_same_moment():
    view = ReplicaView(SETTINGS)
    view.ready.set()
    hear(view, "seldom", 1000.0)
    waiting = asyncio.create_task(view.changed())
    await asyncio.sleep(0)
    hear(view, "one", 1.0)
    async with asyncio.timeout(60):
        await waiting


async def test_a_waiter_is_woken_when_a_heartbeat_is_overdue_and_not_before():
    view = ReplicaView(SETTINGS.model_copy(update={"replica_timeout": 0.25}))
    view.ready.set()
    hear(view, "busy", 0.2)
    await view.changed()
    assert alive(view) == set()
