import random

import pytest
from modelmesh.router.table import RoutingTable
from modelmesh.schemas.errors import ModelNotFound, NoWorker
from modelmesh.schemas.releases import Release, Variant
from modelmesh.schemas.replicas import Heartbeat, ModelLoad

from ..releases import full, spec


def beat(replica, partition, *versions, queued=0, role="worker"):
    load = ModelLoad(partitions=(partition,), loaded=versions, queued=queued, service_ms=1.0)
    return Heartbeat(replica=replica, role=role, epoch="e", at=0.0, pid=1, models={"m": load})


@pytest.fixture
def table():
    table = RoutingTable(lambda model: f"topic.{model}", random.Random(0).randrange)
    table.set_release("m", full("1.0.0"))
    return table


def test_a_model_without_a_release_is_not_found(table):
    with pytest.raises(ModelNotFound):
        table.route("other", "key", 0.0)


def test_a_model_that_nobody_serves_has_no_worker(table):
    with pytest.raises(NoWorker, match="no live worker"):
        table.route("m", "key", 0.0)


def test_requests_go_to_a_partition_of_a_replica_that_has_the_version(table):
    table.set_replicas([beat("a", 3, "1.0.0"), beat("b", 4, "0.9.0"), beat("r", 5, "1.0.0", role="router")])
    route = table.route("m", "key", 0.0)
    assert (route.topic, route.partition, route.version) == ("topic.m", 3, "1.0.0")


def test_until_a_new_version_is_loaded_requests_go_to_the_one_before(table):
    table.set_replicas([beat("a", 3, "1.0.0")])
    table.set_release("m", full("2.0.0", 2))
    assert table.route("m", "key", 0.0).version == "1.0.0"
    table.set_replicas([beat("a", 3, "1.0.0", "2.0.0")])
    assert table.route("m", "key", 0.0).version == "2.0.0"


def test_the_silent_serve_only_while_nobody_is_alive(table):
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
    went = [table.route("m", "key", now).partition for now in range(40)]
    assert went == [2] * 40


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
