from modelmesh.schemas.settings import Settings
from modelmesh.schemas.topics import Topics


def test_each_mesh_has_its_own_names_and_shadow_replies_pair_with_replies():
    topics = Topics("mine")
    names = [topic.name for topic in topics]
    assert len(set(names)) == len(names) == 18
    assert all(name.startswith(("mine.", "mine-control-")) for name in [*names, topics.model("fraud").name])
    assert topics.replies.partitions == topics.shadow_replies.partitions


def test_topics_are_compacted_or_have_a_retention():
    topics = Topics()
    assert topics.deployments.broker_config(1000)["cleanup.policy"] == "compact"
    assert topics.requests.broker_config(1000)["retention.ms"] == str(7 * 24 * 3600 * 1000)


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("MODELMESH_PREFIX", "other")
    monkeypatch.setenv("MODELMESH_MODEL_PARTITIONS", "3")
    assert Settings().topics().model("m").partitions == 3
    assert Settings().topics().requests.name == "other.requests"
