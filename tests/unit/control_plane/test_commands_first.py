"""A command does not wait behind the summaries that the judge has still to merge."""

import asyncio
from types import SimpleNamespace

from modelmesh.control_plane.judge.judge import Judge
from modelmesh.control_plane.releases.app import ReleasesApp
from modelmesh.control_plane.releases.state import ReleaseState
from modelmesh.schemas.settings import Settings

from .. import releases
from .test_evidence import summary


def record(value):
    text = value.model_dump_json().encode()
    return SimpleNamespace(message=SimpleNamespace(value=text, headers=[], topic="t", partition=0, offset=0))


class Log:
    """Acknowledges what is sent after some turns of the loop."""

    def __init__(self):
        self.sent, self.written = [], asyncio.Event()

    async def send(self, **sent):
        for _ in range(5):
            await asyncio.sleep(0)
        self.sent.append(sent)
        self.written.set()
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


async def test_a_rollback_waits_for_one_summary_at_most(tmp_path):
    settings = Settings(data=tmp_path)
    app = ReleasesApp(settings)
    app._releases, app._judge = (
        {"m": ReleaseState(release=releases.canary()).model_dump_json()},
        Judge(settings, {}, {}, {}),
    )
    app._must_read, app._deployments, app._events = False, Log(), Log()
    merged, given, warm = 0, asyncio.Queue(), asyncio.Event()

    class Summaries:
        """A backlog without an end. A stream of Faust gives way to the loop between two records, too."""

        async def events(self):
            nonlocal merged
            while True:
                await asyncio.sleep(0)
                merged += 1
                if merged == 3:
                    warm.set()
                yield record(summary(merged))

    class Commands:
        async def events(self):
            while True:
                yield record(await given.get())

    running = [asyncio.create_task(app._observe(Summaries())), asyncio.create_task(app._run_commands(Commands()))]
    await warm.wait()
    before = merged
    given.put_nowait(releases.command("rollback", expires_at=1e12))
    await app._events.written.wait()
    assert b"canary.rolled_back" in app._events.sent[0]["value"]
    # One that is being merged when it comes, and one that is waiting for its turn.
    assert merged - before <= 2
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
