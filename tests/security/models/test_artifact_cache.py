"""A worker's copy of an artifact is what was registered, however often it is loaded and whoever wrote to the copy."""

import hashlib
import stat

import pytest
from modelmesh.models.artifacts.store import ArtifactStore, fetch
from modelmesh.schemas.errors import Unavailable


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"the model that was registered")
    digest, url = ArtifactStore(f"file://{tmp_path / 'store'}").put(path)
    return url, digest, tmp_path / "cache"


def rewritten(path, data):
    path.chmod(0o600)
    path.write_bytes(data)


@pytest.mark.parametrize("data", [b"somebody else's model", b"", b"the model that was registered!"])
def test_a_rewritten_copy_is_never_loaded_but_fetched_again(stored, data):
    rewritten(fetch(*stored), data)
    path = fetch(*stored)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == stored[1]


def test_a_copy_that_was_put_there_before_the_first_fetch_is_not_believed(stored):
    url, digest, cache = stored
    cache.mkdir()
    (cache / digest).write_bytes(b"planted")
    assert fetch(url, digest, cache).read_bytes() == b"the model that was registered"


def test_a_link_in_its_place_is_replaced_and_what_it_names_is_left(stored, tmp_path):
    url, digest, cache = stored
    cache.mkdir()
    other = tmp_path / "other"
    other.write_bytes(b"another model")
    (cache / digest).symlink_to(other)
    path = fetch(url, digest, cache)
    assert not path.is_symlink()
    assert other.read_bytes() == b"another model"


def test_with_the_store_rewritten_too_nothing_is_loaded(stored):
    url = stored[0]
    rewritten(fetch(*stored), b"evil")
    with open(url.removeprefix("file://"), "wb") as file:
        file.write(b"evil")
    with pytest.raises(Unavailable, match="changed or cut short"):
        fetch(*stored)


def test_a_copy_is_nobodys_to_write(stored):
    path = fetch(*stored)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
