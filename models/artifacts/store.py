"""A content-addressed artifact store at any fsspec URL: files are named by SHA-256, never overwritten, verified when read."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

import fsspec
from fsspec.core import url_to_fs

from ...schemas.errors import NotFound, Unavailable

_CHUNK = 1024 * 1024


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ArtifactStore:
    """A folder of immutable files at an fsspec URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def url_of(self, digest: str) -> str:
        """Return where an artifact is, or would be."""
        return f"{self.url}/{digest[:2]}/{digest}"

    def put(self, path: Path) -> tuple[str, str]:
        """Store a file; return (digest, url). Equal files are stored once."""
        digest = digest_of(path)
        url = self.url_of(digest)
        files, target = url_to_fs(url)
        try:
            if not files.exists(target):
                files.makedirs(files._parent(target), exist_ok=True)
                # Under a temporary name first: a partial file must never have the name of its digest.
                partial = f"{target}.{os.getpid()}.partial"
                files.put_file(str(path), partial)
                files.mv(partial, target)
        except OSError as error:
            raise Unavailable(f"the artifact store {self.url} does not take the file: {error}") from error
        return digest, url

    def restore(self, path: Path, digest: str) -> None:
        """Store a file again if it was deleted concurrently, with the removal of a model that had the same bytes."""
        files, target = url_to_fs(self.url_of(digest))
        try:
            there = files.exists(target)
        except OSError:
            return  # the file was just stored, and the store is down now
        if not there:
            self.put(path)

    def delete(self, url: str) -> None:
        """Delete a file, if it exists. Raises Unavailable if the store cannot be reached."""
        files, target = url_to_fs(url)
        try:
            if files.exists(target):
                files.rm_file(target)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise Unavailable(f"the artifact at {url} cannot be deleted: {error}") from error


def fetch(url: str, digest: str, cache: Path) -> Path:
    """Return a local copy of an artifact. Its digest is verified each time; a modified copy is fetched again.

    Raises NotFound if it does not exist, Unavailable if the store cannot be reached or the digest is wrong.
    """
    local = cache / digest
    if local.is_file() and not local.is_symlink() and digest_of(local) == digest:
        return local
    cache.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):  # a shared folder of another user
        cache.chmod(0o700)
    handle, name = tempfile.mkstemp(dir=cache, prefix=".fetch-")
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as out, fsspec.open(url, "rb") as source:
            while chunk := source.read(_CHUNK):
                out.write(chunk)
        if (found := digest_of(partial)) != digest:
            raise Unavailable(f"the artifact at {url} has digest {found}, not {digest}: it was changed or cut short")
        partial.chmod(0o444)  # read-only, and readable for a model's process, which runs as another user
        partial.replace(local)
    except FileNotFoundError:
        raise NotFound(f"there is no artifact at {url}") from None
    except OSError as error:
        raise Unavailable(f"the artifact at {url} cannot be read: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return local
