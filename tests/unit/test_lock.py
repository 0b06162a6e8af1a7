"""What the image and `make install` install is what pyproject.toml asks for, each file by its hash."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ASKED = PYPROJECT["project"]["dependencies"]
EXTRAS = PYPROJECT["project"]["optional-dependencies"]


def locked(name):
    """Return the versions of a lock by package: several where they go by Python or system."""
    lock = (ROOT / name).read_text()
    entries = re.findall(
        r"^([\w.-]+)==(\S+?)(?: ;[^\\\n]*)?(?: \\)?\n((?:    --hash=\S+(?: \\)?\n?)*)", lock, re.MULTILINE
    )
    assert len(entries) == len(re.findall(r"^[\w.-]+==", lock, re.MULTILINE))
    assert all("--hash=sha256:" in hashes for _, _, hashes in entries)
    assert "://" not in lock, "which index is everybody's own business"
    found = {}
    for package, version, _ in entries:
        found.setdefault(canonicalize_name(package), set()).add(version)
    return found


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements.lock", [*ASKED, *EXTRAS["server"]]),
        (
            "requirements-dev.lock",
            [
                *ASKED,
                *EXTRAS["server"],
                *EXTRAS["local"][1:],
                *EXTRAS["torch"],
                *EXTRAS["dev"],
                *PYPROJECT["build-system"]["requires"],
            ],
        ),
    ],
)
def test_each_dependency_is_locked_within_its_bounds_and_by_hash(lock, wanted):
    versions = locked(lock)
    for text in wanted:
        requirement = Requirement(text)
        found = versions[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in found), text


def test_the_image_runs_what_the_tests_ran():
    tested = locked("requirements-dev.lock")
    assert {name: versions for name, versions in locked("requirements.lock").items() if tested[name] != versions} == {}
