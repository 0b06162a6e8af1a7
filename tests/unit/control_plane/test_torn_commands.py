"""A control plane that is killed anywhere between a command and its answer: log, state and answer always agree afterwards."""

import asyncio
from types import SimpleNamespace

import pytest
from modelmesh.control_plane.releases.app import ReleasesApp
from modelmesh.control_plane.releases.machine import step
from modelmesh.control_plane.releases.state import ReleaseState
from modelmesh.control_plane.releases.written import Written, adopt, last_written
from modelmesh.schemas.payloads.read_events import read_event
from modelmesh.schemas.payloads.releases import Release
from modelmesh.schemas.settings import Settings

from ..releases import command, spec

BEFORE = [
    command("deploy", "d1", version=spec("1.0.0")),
    command("start_canary", "d2", version=spec("2.0.0"), percentage=10),
]
# The command that is torn, and the commands before it.
TORN = {
    "the first deployment": (command("deploy", "torn", version=spec("1.0.0")), []),
    "a canary": (command("start_canary", "torn", version=spec("2.0.0"), percentage=10), BEFORE[:1]),
    "a promotion": (command("promote", "torn", reason="r"), BEFORE),
    "a rollback": (command("rollback", "torn", reason="r"), BEFORE),
    "a removal": (command("remove", "torn"), BEFORE),
    "a refusal": (command("deploy", "torn", version=spec("3.0.0"), based_on=77), BEFORE),
}


class Killed(BaseException):
    """The process is gone: nothing behind this point is done."""


class Process:
    """A control plane without Kafka, on what outlives it: the topics and the table's changelog."""

    def __init__(self, app, topics, changelog, dies_at=None):
        self.left = dies_at
        self.topics, self.changelog = topics, changelog
        self.table = dict(changelog)  # what is set here is in the changelog only once `flush` was reached
        self.app = app
        app._releases, app._parsed, app._ahead, app._must_read = self.table, {}, {}, True
        app._partitions = frozenset(range(1000))
        for name in ("_deployments", "_events", "_statistics"):
            setattr(app, name, SimpleNamespace(send=self.sender(name)))
        app._written = self.written

    def point(self):
        """A place where the process may be killed."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed

    def sender(self, topic):
        async def send(*, key, value, headers=None):
            self.point()
            record = SimpleNamespace(key=key, value=value, headers=list(dict(headers or {}).items()), offset=0)
            self.topics.setdefault(topic, []).append(record)
            self.point()
            sent = asyncio.get_running_loop().create_future()
            sent.set_result(None)
            return sent

        return send

    async def written(self):
        return last_written(self.topics.get("_deployments", []))

    async def run(self, one, *, expired=False):
        one = one.model_copy(update={"expires_at": 0.0 if expired else 1e12})
        value = one.model_dump_json().encode()
        message = SimpleNamespace(value=value, topic="commands", partition=0, offset=0, key=b"m", headers=[])
        await self.app._process("command", lambda _: one, message, self.app._execute)
        self.point()
        self.changelog.update(self.table)
        self.point()


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    return ReleasesApp(Settings(data=tmp_path_factory.mktemp("data")))


def outcome(topics, process):
    log = last_written(topics.get("_deployments", [])).get("m", Written(None, None))
    answers = [event for record in topics["_events"] if (event := read_event(record.value)).command_id == "torn"]
    return log.release, process.app._state("m"), answers


@pytest.mark.parametrize("late", [False, True], ids=["in time", "after its author gave up"])
@pytest.mark.parametrize("what", TORN)
async def test_a_command_is_all_or_nothing(app, what, late):
    torn, earlier = TORN[what]
    for dies_at in range(20):
        topics, changelog = {}, {}
        before = Process(app, topics, changelog)
        for one in earlier:
            await before.run(one)
        release_before = before.app._state("m").release
        try:
            await Process(app, topics, changelog, dies_at).run(torn)
        except Killed:
            finished = False
        else:
            finished = True
        took_effect = last_written(topics.get("_deployments", [])).get("m", Written(None, None)).release
        again = Process(app, topics, changelog)
        # Its offset was not committed, so it is delivered again.
        await again.run(torn, expired=late)
        on_log, state, answers = outcome(topics, again)
        assert on_log == state.release, dies_at
        assert len({(event.kind, event.generation) for event in answers}) == 1, dies_at
        refused = answers[0].problem is not None
        assert refused == (on_log == release_before), (dies_at, answers[0])
        if took_effect != release_before:
            assert not refused, "what has taken effect is not called refused"
        # And the next command is based on it.
        based_on = state.generation if on_log else 0
        following = (
            command("rollback", "next", reason="r", based_on=based_on)
            if on_log is not None and on_log.strategy == "canary"
            else command("deploy", "next", version=spec("9.0.0"), based_on=based_on)
        )
        await Process(app, topics, changelog).run(following)
        assert last_written(topics["_deployments"])["m"].release.generation == state.generation + 1, dies_at
        if finished:
            return
    pytest.fail("the command has more points than were tried")


async def test_a_write_that_fails_is_looked_up_before_the_next_command(app):
    """The broker has the release, the process has an error: it lives on, with a table that is behind."""
    topics, changelog = {}, {}
    process = Process(app, topics, changelog)
    await process.run(BEFORE[0])
    fails, send = [True], app._events.send

    async def send_or_fail(**fields):
        if fails:
            fails.clear()
            raise OSError("the broker is away")
        return await send(**fields)

    app._events.send = send_or_fail
    app._dead_letters = SimpleNamespace(send=process.sender("_dead_letters"))
    await process.run(BEFORE[1])
    assert last_written(topics["_deployments"])["m"].release.strategy == "canary"
    await process.run(command("rollback", "next", reason="r", based_on=2))
    assert read_event(topics["_events"][-1].value).kind == "canary.rolled_back"


def test_a_table_that_is_not_behind_stays_as_it_is():
    state = ReleaseState()
    assert adopt(state, Written(None, None)) is state
    release = Release.model_validate_json(deployed().value)
    ahead = state.model_copy(update={"release": release.model_copy(update={"generation": 7})})
    assert adopt(ahead, Written(release, None)) is ahead  # the log was restored from a backup


def test_a_record_of_an_earlier_version_has_no_answer_and_counts_all_the_same():
    record = deployed()
    record.headers = []
    written = last_written([record])["m"]
    assert written.answer is None
    assert adopt(ReleaseState(), written).release == written.release
    removed = SimpleNamespace(key=b"m", value=None, headers=[], offset=1)
    held = ReleaseState(release=written.release)
    after = adopt(held, last_written([record, removed])["m"])
    assert (after.release, after.generation) == (None, 1)


def test_a_record_that_cannot_be_read_is_passed_over():
    broken = SimpleNamespace(key=b"m", value=b"{", headers=[], offset=1)
    assert last_written([deployed(), broken])["m"].generation == 1


def deployed():
    state, event = step(ReleaseState(), BEFORE[0], now=1.0)
    value, answer = (one.model_dump_json().encode() for one in (state.release, event))
    return SimpleNamespace(key=b"m", value=value, headers=[("mm-answer", answer)], offset=0)
