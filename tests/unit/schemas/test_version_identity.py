"""A version's identity is its artifact and how it is served, for any order of changes."""

import random

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from modelmesh.control_plane.releases.machine import step
from modelmesh.control_plane.releases.state import ReleaseState
from modelmesh.models.proof.profile import build_profile
from modelmesh.resilience.circuit_breaker import BreakerRules
from modelmesh.router.replica_breakers import ReplicaBreakers
from modelmesh.router.table import RoutingTable
from modelmesh.schemas.errors import ModelNotFound, NoWorker
from modelmesh.schemas.payloads.releases import Batching, Original, VersionSpec
from modelmesh.schemas.payloads.replicas import Heartbeat, ModelLoad
from modelmesh.workers.loading_plan import plan

from ..releases import command, spec

NUMBERS = ("1.0.0", "2.0.0", "3.0.0")
WORKERS = ("a", "b")


def test_identity_depends_only_on_the_artifact_and_how_it_is_served():
    one = spec("1.0.0")
    live = build_profile([("x", np.array([1.0, 2.0, 3.0]))], "live")
    given = build_profile([("x", np.array([1.0, 2.0, 3.0]))])
    same = [
        spec("1.0.0", artifact="elsewhere"),
        spec("1.0.0", seal="c2Vh"),
        spec("1.0.0", sample=[[1.0]]),
        spec("1.0.0", profile=live),
        VersionSpec.model_validate_json(one.model_dump_json()),
        VersionSpec.model_validate(one.model_dump(exclude={"identity"})),  # a record without an identity
        one.model_copy(update={"profile": live}),
    ]
    assert {each.identity for each in same} == {one.identity}
    others = [
        spec("2.0.0"),
        spec("1.0.0", digest="e"),
        spec("1.0.0", batching=Batching(max_batch_size=1)),
        spec("1.0.0", cache_ttl_seconds=5.0),
        spec("1.0.0", profile=given),
    ]
    assert len({each.identity for each in [one, *others]}) == len(others) + 1


def test_the_original_model_has_another_identity_which_does_not_depend_on_its_location():
    compiled = spec("1.0.0", original=Original(framework="sklearn", artifact="a", digest="o"))
    moved = spec("1.0.0", original=Original(framework="sklearn", artifact="b", digest="o", seal="c2Vh"))
    assert compiled.identity == moved.identity
    original = compiled.as_original()
    assert original.identity not in ("", compiled.identity)
    assert VersionSpec.model_validate(original.model_dump(exclude={"identity"})).identity == original.identity


class Worker:
    """The versions that a worker has loaded or loads, by the loading plan."""

    def __init__(self):
        self.loaded = {}
        self.loading = {}
        self.release = None

    def receive(self, release):
        self.release = release
        if release is None:
            self.loaded, self.loading = {}, {}
        else:
            self.loading |= {spec.identity: spec for spec in plan(release, self.loaded, self.loading).load}

    def finish_loading(self):
        if self.loading:
            identity, spec = self.loading.popitem()
            self.loaded[identity] = spec

    def unload(self):
        if self.release is not None and not plan(self.release, self.loaded, ()).load:
            for identity in plan(self.release, self.loaded, ()).surplus:
                del self.loaded[identity]

    def beat(self, name, partition):
        versions = {identity: spec.version for identity, spec in self.loaded.items()}
        load = ModelLoad(partitions=(partition,), loaded=tuple(set(versions.values())), identities=versions)
        return Heartbeat(replica=name, role="worker", epoch="e", at=0.0, pid=1, models={"m": load})


class Mesh(RuleBasedStateMachine):
    """A model's life. Router and workers learn of changes late and independently, and workers load slowly."""

    def __init__(self):
        super().__init__()
        self.registered = {}
        self.state = ReleaseState()
        self.made = 0
        self.workers = {name: Worker() for name in WORKERS}
        self.beats = {}
        breakers = ReplicaBreakers(BreakerRules(), lambda replica, state: None)
        self.table = RoutingTable(lambda model: model, random.Random(0).randrange, breakers=breakers)
        self.received = []  # the releases that the router has received since the model was last removed

    def command(self, kind, **fields):
        self.made += 1
        before = self.state
        self.state, event = step(before, command(kind, f"c{self.made}", **fields), 1.0)
        if event.kind != "command.refused" and self.state.release is not None:
            assert self.state.release.generation > before.generation, "a later release has a later generation"
        return event

    @property
    def live(self):
        return self.state.release.versions if self.state.release is not None else {}

    @rule(number=st.sampled_from(NUMBERS), same_bytes=st.booleans())
    def register(self, number, same_bytes):
        if number not in self.registered:
            self.made += 1
            options = {"batching": Batching(max_batch_size=self.made)} if same_bytes else {"digest": f"d{self.made}"}
            self.registered[number] = spec(number, **options)

    @rule(number=st.sampled_from(NUMBERS))
    def delete(self, number):
        if number not in self.live:
            self.registered.pop(number, None)

    @precondition(lambda self: self.registered)
    @rule(data=st.data(), kind=st.sampled_from(("deploy", "start_canary")))
    def deploy(self, data, kind):
        number = data.draw(st.sampled_from(sorted(self.registered)))
        self.command(kind, version=self.registered[number], percentage=50.0)

    @rule(kind=st.sampled_from(("promote", "rollback")))
    def end_canary(self, kind):
        self.command(kind)

    @rule()
    def remove_the_model(self):
        assert self.command("remove").kind == "release.removed"
        self.registered = {}

    @rule()
    def router_receives(self):
        release = self.state.release
        self.table.set_release("m", release)
        self.received = [*self.received, release] if release is not None else []

    @rule(name=st.sampled_from(WORKERS))
    def worker_receives(self, name):
        self.workers[name].receive(self.state.release)

    @rule(name=st.sampled_from(WORKERS))
    def worker_loads(self, name):
        self.workers[name].finish_loading()

    @rule(name=st.sampled_from(WORKERS))
    def worker_unloads(self, name):
        self.workers[name].unload()

    @rule(name=st.sampled_from(WORKERS))
    def worker_sends_a_heartbeat(self, name):
        self.beats[name] = self.workers[name].beat(name, WORKERS.index(name))
        self.table.set_replicas(self.beats.values(), now=0.0)

    @invariant()
    def answers_come_from_versions_of_the_release(self):
        for key in ("u1", "u2", "u3"):
            try:
                route = self.table.route("m", key, 0.0)
            except (ModelNotFound, NoWorker):
                continue
            named = [release.versions.get(route.version) for release in self.received]
            assert route.identity in {each.identity for each in named if each is not None}, "no release names it"
            server = self.workers[route.replica].loaded.get(route.identity)
            if server is not None:  # otherwise it was just unloaded, and stable answers under its own number
                by = next(each for each in reversed(named) if each is not None and each.identity == route.identity)
                assert (server.version, server.digest) == (route.version, by.digest)

    @invariant()
    def once_all_have_received_it_the_release_answers(self):
        if self.state.release is None or self.received[-1:] != [self.state.release]:
            return
        if not all(worker.release is self.state.release and not worker.loading for worker in self.workers.values()):
            return
        beats = [worker.beat(name, WORKERS.index(name)) for name, worker in self.workers.items()]
        self.table.set_replicas(beats, now=0.0)
        for key in ("u1", "u2", "u3"):
            route = self.table.route("m", key, 0.0)
            assert route.identity == self.state.release.versions[route.version].identity
            served = self.workers[route.replica].loaded[route.identity]
            assert served.digest == self.registered[route.version].digest
            assert served.batching == self.registered[route.version].batching


Mesh.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyOrder = Mesh.TestCase
