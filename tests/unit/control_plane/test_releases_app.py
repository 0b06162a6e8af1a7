"""The Faust app's changelogs are among the topics, since Faust itself would create them too late (see app.py)."""

from pathlib import Path

from modelmesh.control_plane.releases.app import ReleasesApp
from modelmesh.schemas.settings import Settings


def test_every_table_has_a_changelog_among_the_topics(tmp_path: Path) -> None:
    """Each has as many partitions as its table, and Faust's name for it."""
    settings = Settings(data=tmp_path, prefix="shop")
    tables = ReleasesApp(settings).app.tables.values()

    created = {(topic.name, topic.partitions) for topic in settings.topics()}

    assert {(table.changelog_topic_name, table.partitions) for table in tables} <= created
    assert len(tables) == 4
