"""Downloads Kafka's jars from Maven Central, once."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from ...schemas.errors import SetupError
from ...schemas.extras import not_installed
from .progress import Progress

KAFKA = "org.apache.kafka:kafka_2.13:4.4.0"
DOWNLOAD_BYTES = 45_000_000  # of all jars; only for the progress bar


def cache_folder() -> Path:
    """Return this user's folder for downloads."""
    return Path.home() / ".cache" / "modelmesh"


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0


def _resolve(cache: Path) -> list[Path]:
    import jgo

    logging.getLogger("jgo").setLevel(logging.ERROR)
    environment = Path(jgo.build(KAFKA, cache_dir=cache).path)
    # Modular jars are in another folder, which the environment's classpath omits.
    return sorted([*environment.glob("jars/*.jar"), *environment.glob("modules/*.jar")])


def _listed(listing: Path) -> list[Path]:
    """Return the jars of an earlier download, or none if one is missing."""
    jars = [Path(line) for line in listing.read_text().splitlines()] if listing.exists() else []
    return jars if all(jar.exists() for jar in jars) else []


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Lock out other processes: concurrent downloads into one folder fail."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "download.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def kafka_jars(progress: Progress) -> list[Path]:
    """Return the jars of the embedded Kafka, downloading them the first time. Raises SetupError without a network."""
    cache = cache_folder()
    listing = cache / f"{KAFKA.replace(':', '_')}.jars"
    if jars := _listed(listing):
        return jars
    with _lock(cache):
        # Another process may have downloaded them while this one waited.
        return _listed(listing) or _download(cache, listing, progress)


def _download(cache: Path, listing: Path, progress: Progress) -> list[Path]:
    before, finished = _size(cache), threading.Event()

    def watch() -> None:
        while not finished.wait(0.2):
            progress("downloading Kafka", min(_size(cache) - before, DOWNLOAD_BYTES), DOWNLOAD_BYTES)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        jars = _resolve(cache / "jgo")
    except ModuleNotFoundError as error:
        raise not_installed(error, "a Kafka of its own") or error from None
    except Exception as error:  # jgo raises the errors of requests, Maven and the disk
        raise SetupError(
            f"Kafka's jars ({KAFKA}) could not be fetched from Maven Central: {error}. "
            "Is there a network? Without one, set MODELMESH_KAFKA to the address of a running Kafka"
        ) from error
    finally:
        finished.set()
        watcher.join()
    if not any(jar.name.startswith("kafka_") for jar in jars):
        raise SetupError(f"the download of {KAFKA} is incomplete: delete {cache} and try again")
    progress("downloading Kafka", DOWNLOAD_BYTES, DOWNLOAD_BYTES)
    listing.write_text("\n".join(map(str, jars)))
    return jars
