"""A malformed record goes to the dead letters, and those behind it are read."""

import asyncio

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.broker.kafka.dead_letter_writer import DeadLetterWriter
from modelmesh.broker.views.faults import FaultsView
from modelmesh.broker.views.keys import KeysView
from modelmesh.broker.views.releases import ReleasesView
from modelmesh.broker.views.replicas import ReplicaView
from modelmesh.broker.views.statistics import StatisticsView
from modelmesh.gateway.command_client import CommandClient
from modelmesh.schemas import records
from modelmesh.schemas.settings import Settings
from structlog.testing import capture_logs

from ..releases import full

SETTINGS = Settings(name="tests")


class Sent:
    """An outbox that collects dead letters."""

    def __init__(self):
        self.letters = []

    def send(self, topic, value, *, key, headers, **_):
        assert len(value or b"") + records.header_bytes(headers) < SETTINGS.max_record_bytes
        self.letters.append((topic, dict(headers)[records.SOURCE]))


class Consumer:
    """Returns the records of one fetch."""

    def __init__(self, values, headers):
        self._records = [
            ConsumerRecord("t", 0, offset, 0, 0, b"k", value, None, 0, 0, headers)
            for offset, value in enumerate(values)
        ]

    async def getmany(self, timeout_ms):
        return {None: self._records}


def faults_view(sent, box):
    view = FaultsView(SETTINGS)
    view.report_to(box)
    return view


VIEWS = {
    "releases": lambda sent, box: ReleasesView(SETTINGS, sent),
    "replicas": lambda sent, box: ReplicaView(SETTINGS, dead_letters=box),
    "keys": lambda sent, box: KeysView(SETTINGS, box),
    "statistics": lambda sent, box: StatisticsView(SETTINGS, box),
    "faults": faults_view,
    "events": lambda sent, box: CommandClient(SETTINGS, sent),
}
values = st.binary(max_size=40) | st.sampled_from([b"", b"{}", b"null", b"[]", b"1", b'{"model": 1}', bytes(9_000_000)])
headers = st.sampled_from([(), (("h", b"\xff"),), (("h", None), ("h", b"x" * 9_000_000))])


@pytest.mark.parametrize("view", VIEWS)
@given(st.lists(values, min_size=1, max_size=4), headers)
def test_no_record_ends_a_view(view, dead_letters, some):
    async def read():
        sent = Sent()
        made = VIEWS[view](sent, DeadLetterWriter(SETTINGS, sent))
        with capture_logs():
            await made._follower._read(Consumer([*dead_letters, None, b"\xff"], some), 0)
        return sent.letters

    letters = asyncio.run(read())
    assert letters[-1] == (
        "modelmesh.dead-letters",
        b"t/0/%d" % (len(dead_letters) + 1),
    )  # the last record is malformed for all views


async def test_a_release_with_an_invalid_model_name_is_dead_lettered():
    sent = Sent()
    view = ReleasesView(SETTINGS, sent)
    bad = full().model_copy(update={"model": "No Name!"})
    with capture_logs():
        await view._follower._read(Consumer([bad.model_dump_json().encode(), full().model_dump_json().encode()], ()), 0)
    assert [source for _, source in sent.letters] == [b"t/0/0"]
    assert list(view.releases) == [full().model]
