"""Whichever part of a role fails, and whenever, the role ends, names the part, and leaves nothing running."""

import asyncio
import inspect
from pathlib import Path
from unittest import mock

import modelmesh
import pytest
from modelmesh.broker.kafka.topics import ensure_topics
from modelmesh.control_plane.service import ControlPlane
from modelmesh.gateway.service import Gateway
from modelmesh.recorder.service import Recorder
from modelmesh.registry.storage.migrate import upgrade
from modelmesh.router.service import Router
from modelmesh.runtime.lifecycle import Lifecycle
from modelmesh.schemas.acls import used_by
from modelmesh.schemas.errors import PartFailed
from modelmesh.schemas.settings import Settings
from modelmesh.workers.service import Worker

ROLES = {"router": Router, "worker": Worker, "recorder": Recorder, "control": ControlPlane, "gateway": Gateway}


PACKAGE = Path(modelmesh.__file__).resolve().parent
# Seconds in which what was cancelled has ended; only a task that stays for ever waits so long.
LATEST = 20.0


class Sabotaged(Lifecycle):
    """Parts of which one, `part`, fails when `when` says. Without a part it writes down which there are."""

    def __init__(self, stop, part="", when=""):
        super().__init__(stop, 60.0)
        self.part, self.when, self.names, self.started = part, when, [], asyncio.Event()

    def hit(self, name, when):
        return name == self.part and when == self.when

    async def start(self, name, starting, stop, **options):
        self.names.append((name, "start"))
        if self.hit(name, "start"):
            if inspect.iscoroutine(starting):
                starting.close()
            starting = fails()
        await super().start(name, starting, stop, **options)

    def run(self, name, work, **options):
        self.names += [(name, "running"), (name, "end")]
        if self.part == name:
            work = self.sabotage(work)
        super().run(name, work, **options)

    async def sabotage(self, work):
        if self.when == "end":
            try:
                await work
            finally:
                await fails()
        working = asyncio.ensure_future(work)
        await self.started.wait()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await fails()

    def at_end(self, name, stop, **options):
        if (name, "start") not in self.names:
            self.names.append((name, "end"))
        if self.hit(name, "end"):
            real = stop

            async def stop():
                await real()
                await fails()

        super().at_end(name, stop, **options)


async def fails():
    raise OSError("sabotage")


@pytest.fixture(scope="module", params=ROLES)
async def role(request, mesh, tmp_path_factory):
    """How to make a role that has topics and a database of its own."""
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    settings = Settings(
        kafka=mesh.settings.kafka,
        prefix=f"life-{name}",
        name=f"life-{name}",
        data=folder,
        database=f"sqlite+aiosqlite:///{folder}/registry.db",
        port=0,
        partitions=1,
    )
    await upgrade(settings.database_url)
    await ensure_topics(settings, used_by(name, settings.topics()))
    return lambda: ROLES[name](settings)


async def live(make, part="", when=""):
    """Let a role live until its part fails, or until it works; return its parts, its error, and the tasks that it left."""
    stop, error = asyncio.Event(), None
    parts = Sabotaged(stop, part, when)
    try:
        async with parts:
            await make().start(parts)
            parts.started.set()
            if when in ("", "end"):
                stop.set()
            await parts.until_stopped()
    except PartFailed as failed:
        error = failed.detail
    left = {task for task in asyncio.all_tasks() - {asyncio.current_task()} if not is_of_faust(task, parts)}
    if left:
        _, left = await asyncio.wait(left, timeout=LATEST)
    return parts.names, error, [repr(task.get_coro()) for task in left]


def is_of_faust(task, parts):
    """Whether Faust left this task: told to stop just after its start, it forgets some; the process ends all the same."""
    with_faust = any(name == "releases' agents" for name, _ in parts.names)
    code = Path(task.get_coro().cr_code.co_filename).resolve()
    ours = code.is_relative_to(PACKAGE) and "site-packages" not in code.parts  # .venv lies in the package's folder
    return with_faust and not ours


async def lived(*arguments):
    """Let a role live in an event loop of its own."""
    with mock.patch("os.nice"):  # the recorder gives way to others, and the tests must not
        return await asyncio.to_thread(asyncio.run, live(*arguments))


async def test_each_part_that_fails_ends_the_role_with_its_name(role):
    names, error, left = await lived(role)
    assert error is None
    assert not left
    assert len(names) > 6
    said = {"start": "at its start", "running": "while it ran", "end": "at its end"}
    for part, when in names:
        _, error, left = await lived(role, part, when)
        assert error == f"{part} failed {said[when]}: OSError: sabotage"
        assert not left, (part, when)
