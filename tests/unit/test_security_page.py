"""docs/security.md promises nothing that no test shows: the tests that it names are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
TABLE = PAGE[PAGE.index("## Threats") : PAGE.index("## What it does not stop")]
ROWS = [row for row in TABLE.splitlines() if row.startswith("|")][2:]
FILES: dict[str, str] = {}
for path in (ROOT / "tests").rglob("test_*.py"):
    FILES[path.stem] = FILES.get(path.stem, "") + path.read_text()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:60])
def test_each_row_names_tests_that_are_there(row):
    threat, stops, shown = (cell.strip() for cell in row.strip("|").split("|"))
    assert threat
    assert stops
    named = re.findall(r"(?:[\w/]+/)?(test_\w+)(?:: ([\w, ]+))?", shown)
    assert named, f"no test shows that {threat!r} is stopped"
    for file, tests in named:
        assert file in FILES, file
        for test in filter(None, (test.strip().split(" ")[0] for test in tests.split(","))):
            assert test in FILES or re.search(rf"def test_\w*{test}", FILES[file]), f"{file} has no test of {test}"
