"""The JVM's class archive: written by the first broker that stops, used by later ones with the same Java and jars."""

from pathlib import Path

from modelmesh.broker.embedded.class_archive import ClassArchive


def _archive(folder: Path, java: Path, jars: list[Path]) -> ClassArchive:
    for name in ("cache", "scratch"):
        (folder / name).mkdir(exist_ok=True)
    return ClassArchive(java, jars, folder / "cache", folder / "scratch")


def test_the_first_writes_and_the_second_reads(tmp_path: Path) -> None:
    """A written archive is moved into the cache."""
    java, jars = tmp_path / "java", [Path("kafka.jar")]
    java.touch()
    first = _archive(tmp_path, java, jars)
    (option,) = first.options()
    written = Path(option.removeprefix("-XX:ArchiveClassesAtExit="))
    written.write_bytes(b"classes")

    first.keep()

    (option,) = _archive(tmp_path, java, jars).options()
    assert Path(option.removeprefix("-XX:SharedArchiveFile=")).read_bytes() == b"classes"
    assert not written.exists()


def test_another_java_or_other_jars_have_their_own_archive(tmp_path: Path) -> None:
    """An archive is valid only for its Java and class path."""
    java, newer = tmp_path / "java", tmp_path / "newer"
    java.touch()
    newer.touch()
    first = _archive(tmp_path, java, [Path("kafka.jar")])
    (tmp_path / "scratch" / "classes.jsa").write_bytes(b"classes")
    first.keep()

    for other in (_archive(tmp_path, newer, [Path("kafka.jar")]), _archive(tmp_path, java, [Path("kafka-2.jar")])):
        assert other.options()[0].startswith("-XX:ArchiveClassesAtExit=")


def test_a_broker_that_wrote_no_archive_leaves_none(tmp_path: Path) -> None:
    """A killed JVM writes nothing; the next one tries again."""
    java = tmp_path / "java"
    java.touch()
    archive = _archive(tmp_path, java, [])
    archive.keep()
    assert archive.options()[0].startswith("-XX:ArchiveClassesAtExit=")
