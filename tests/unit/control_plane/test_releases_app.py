"""The Faust app finds its changelogs made: those that it makes while it joins its group may come too late for an agent."""

from pathlib import Path

from modelmesh.control_plane.releases.app import ReleasesApp
from modelmesh.schemas.settings import Settings


def test_every_table_has_a_changelog_among_the_topics(tmp_path: Path) -> None:
    """One with as many partitions as the table, under the name that Faust gives it."""
    settings = Settings(data=tmp_path, prefix="shop")
    tables = ReleasesApp(settings).app.tables.values()

    made = {(topic.name, topic.partitions) for topic in settings.topics()}

    assert {(table.changelog_topic_name, table.partitions) for table in tables} <= made
    assert len(tables) == 4
