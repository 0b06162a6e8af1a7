import random

import pytest
from modelmesh.resilience.circuit_breaker import BreakerRules
from modelmesh.router.replica_breakers import ReplicaBreakers
from modelmesh.router.table import RoutingTable
from modelmesh.schemas.errors import CircuitOpen, ModelNotFound, NoWorker
from modelmesh.schemas.payloads.releases import Release, Variant
from modelmesh.schemas.payloads.replicas import Heartbeat, ModelLoad

from ..releases import canary, full, spec


def beat(replica, partition, *versions, queued=0, role="worker", **load):
    identities = {spec(version).identity: version for version in versions}
    load = {"identities": identities, "loaded": versions, "queued": queued, "service_ms": 1.0, "request_ms": 1.0} | load
    load = ModelLoad(partitions=(partition,), **load)
    return Heartbeat(replica=replica, role=role, epoch="e", at=0.0, pid=1, models={"m": load})


@pytest.fixture
def table():
    table = RoutingTable(
        lambda model: f"topic.{model}",
        random.Random(0).randrange,
        breakers=ReplicaBreakers(BreakerRules(), lambda replica, state: None),
        warm_up=5.0,
    )
    table.set_release("m", full("1.0.0"))
    return table


def test_a_model_without_a_release_is_not_found(table):
    with pytest.raises(ModelNotFound):
        table.route("other", "key", 0.0)


def test_a_model_without_replicas_has_no_worker(table):
    with pytest.raises(NoWorker, match="no live worker"):
        table.route("m", "key", 0.0)


def test_requests_go_to_a_partition_of_a_replica_that_has_the_version(table):
    table.set_replicas([beat("a", 3, "1.0.0"), beat("b", 4, "0.9.0"), beat("r", 5, "1.0.0", role="router")])
    route = table.route("m", "key", 0.0)
    assert (route.topic, route.partition, route.version) == ("topic.m", 3, "1.0.0")


def test_until_a_new_version_is_loaded_requests_go_to_the_previous_one(table):
    table.set_replicas([beat("a", 3, "1.0.0")])
    table.set_release("m", full("2.0.0", 2))
    assert table.route("m", "key", 0.0).version == "1.0.0"
    table.set_replicas([beat("a", 3, "1.0.0", "2.0.0")])
    assert table.route("m", "key", 0.0).version == "2.0.0"


def test_a_reused_version_number_waits_until_its_new_artifact_is_loaded(table):
    table.set_replicas([beat("a", 3, "1.0.0")])
    again = full("1.0.0", 2).model_copy(update={"versions": {"1.0.0": spec("1.0.0", digest="e")}})
    table.set_release("m", again)
    assert (
        table.route("m", "key", 0.0).identity == spec("1.0.0").identity
    )  # the previous release, until the new artifact is loaded
    both = {spec("1.0.0").identity: "1.0.0", spec("1.0.0", digest="e").identity: "1.0.0"}
    table.set_replicas([beat("a", 3, "1.0.0"), beat("b", 4, "1.0.0", identities=both)])
    assert {table.route("m", "key", now).partition for now in range(20)} == {4}
    assert table.route("m", "key", 0.0).identity == spec("1.0.0", digest="e").identity


def test_an_older_replica_that_reports_numbers_only_is_trusted(table):
    table.set_replicas([beat("a", 3, "1.0.0", identities={})])
    assert table.route("m", "key", 0.0).partition == 3


def test_silent_replicas_serve_only_while_none_is_alive(table):
    table.set_replicas([], recent=[beat("a", 3, "1.0.0")])
    assert table.route("m", "key", 0.0).partition == 3
    table.set_replicas([beat("b", 4, "1.0.0")], recent=[beat("a", 3, "1.0.0"), beat("b", 4, "1.0.0")])
    assert {table.route("m", "key", now).partition for now in range(50)} == {4}


def test_a_model_that_was_deleted_is_not_found(table):
    table.set_replicas([beat("a", 3, "1.0.0")])
    table.set_release("m", None)
    with pytest.raises(ModelNotFound):
        table.route("m", "key", 0.0)


def test_the_busier_replica_gets_less(table):
    table.set_replicas([beat("busy", 1, "1.0.0", queued=50), beat("idle", 2, "1.0.0")])
    chosen = [table.route("m", "key", now / 1000).partition for now in range(40)]
    assert chosen == [2] * 40


def test_the_backlog_estimate_is_kept_until_the_next_heartbeat(table):
    silent = beat("a", 1, "1.0.0")
    table.set_replicas([silent])
    for _ in range(64):
        table.route("m", "key", 0.0)
    # Only b sends a heartbeat: a's backlog must be kept.
    table.set_replicas([silent, beat("b", 2, "1.0.0")], now=0.0)
    assert {table.route("m", "key", 0.0).partition for _ in range(20)} == {2}
    assert table.route("m", "key", 0.0).wait_ms > 20


def test_stable_replaces_a_version_whose_breakers_are_open_and_has_no_replacement_itself(table):
    opened = {"breakers": {spec("1.0.0").identity: "open"}}
    table.set_replicas([beat("a", 1, "1.0.0", **opened), beat("b", 2, "1.0.0")])
    assert {table.route("m", "key", now).partition for now in range(20)} == {2}
    table.set_replicas([beat("a", 1, "1.0.0", **opened), beat("b", 2, "1.0.0", **opened)])
    with pytest.raises(CircuitOpen):
        table.route("m", "key", 0.0)
    assert table.reachable() == {"m": {spec("1.0.0").identity: "1.0.0"}}
    table.set_release("m", canary(1.0))
    both = {"breakers": {spec("2.0.0").identity: "open"}}
    table.set_replicas([beat("a", 1, "1.0.0", "2.0.0", **both)])
    assert table.route("m", "key", 0.0).version == "1.0.0"


def test_a_retry_goes_to_another_replica_and_has_no_shadow(table):
    table.set_replicas([beat("a", 1, "1.0.0"), beat("b", 2, "1.0.0")])
    assert {table.route("m", "key", now, "id", ("a",)).replica for now in range(20)} == {"b"}


def test_a_version_that_a_replica_has_just_loaded_gets_few_requests(table):
    table.set_replicas([beat("old", 1, "1.0.0", queued=1), beat("new", 2, "1.0.0", ages={spec("1.0.0").identity: 0.5})])
    chosen = [table.route("m", "key", now).replica for now in range(400)]
    assert 10 < chosen.count("new") < 100


def test_a_copy_goes_to_the_replica_of_its_primary_where_that_has_the_shadow(table):
    shadowed = Release(
        model="m", generation=2, trial=2, strategy="shadow",
        variants=(
            Variant(name="stable", version="1.0.0", weight=1.0, role="stable"),
            Variant(name="shadow", version="2.0.0", weight=1.0, role="shadow"),
        ),
        versions={"1.0.0": spec("1.0.0"), "2.0.0": spec("2.0.0")}, salt="m.2", updated_at=0.0,
    )  # fmt: skip
    table.set_release("m", shadowed)
    table.set_replicas([beat("a", 1, "1.0.0", "2.0.0"), beat("b", 2, "1.0.0", "2.0.0")])
    for now in range(40):
        route = table.route("m", "key", now, "id")
        assert route.shadow.partition == route.partition
        assert (route.shadow.version, route.shadow.trial) == ("2.0.0", 2)
    table.set_replicas([beat("a", 1, "1.0.0"), beat("b", 2, "2.0.0")])
    route = table.route("m", "key", 100.0, "id")
    assert (route.partition, route.shadow.partition) == (1, 2)
    table.set_replicas([beat("a", 1, "1.0.0")])
    assert table.route("m", "key", 200.0, "id").shadow is None
