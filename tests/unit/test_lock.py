"""What the image installs is what pyproject.toml asks for, each file by its hash."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def test_each_dependency_is_locked_within_its_bounds_and_by_hash():
    lock = (ROOT / "requirements.lock").read_text()
    entries = re.findall(
        r"^([\w.-]+)==(\S+?)(?: ;[^\\\n]*)?(?: \\)?\n((?:    --hash=\S+(?: \\)?\n?)*)", lock, re.MULTILINE
    )
    locked = {canonicalize_name(name): version for name, version, _ in entries}
    assert len(entries) == len(re.findall(r"^[\w.-]+==", lock, re.MULTILINE))
    assert all("--hash=sha256:" in hashes for _, _, hashes in entries)
    for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)]), text
    assert "://" not in lock
