"""The files and folders that docs/architecture.md, docs/glossary.md and CONTRIBUTING.md name exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("docs/architecture.md", "docs/glossary.md", "CONTRIBUTING.md")
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"(?:[\w*-]+/)*[\w*-]+\.(?:py|md|toml)|(?:[\w*-]+/)+[\w*-]*")


def missing(paragraph, root):
    """Return the names in backticks that do not exist, and the number of names checked.

    A path begins at the root; a bare name may also be beside any path in the same paragraph.
    """
    names = [name for name in re.findall(r"`([^`\n]+)`", paragraph) if NAME.fullmatch(name)]
    paths = [root / name for name in names if "/" in name]
    folders = [root, *(path if path.is_dir() else path.parent for path in paths)]
    return [
        name for name in names if not any(any(folder.glob(name)) for folder in (folders if "/" not in name else [root]))
    ], len(names)


def picture(page):
    """The folders in the page's picture, those that are indented below the one before them."""
    top = ""
    for line in BLOCK.findall(page[page.index("## Folders") :])[0].splitlines():
        if found := re.match(r"( *)((?:\w+/,? )+)", line):
            names = found[2].replace(",", "").split()
            top = top if found[1] else names[0]
            yield from (top + name if found[1] else name for name in names)


@pytest.mark.parametrize("page", PAGES)
def test_each_file_that_a_page_names_is_there(page):
    text = BLOCK.sub("", (ROOT / page).read_text())
    found = [missing(paragraph, ROOT) for paragraph in re.split(r"\n(?=\||- |\d+\. )|\n\n", text)]
    assert sum(count for _, count in found) > 15, "this test does not read the page any more"
    assert [name for names, _ in found for name in names] == []


def test_the_picture_has_every_folder_of_code():
    drawn = set(picture((ROOT / "docs" / "architecture.md").read_text()))
    assert [folder for folder in drawn if not (ROOT / folder).is_dir()] == []
    packages = {f"{path.parent.name}/" for path in ROOT.glob("*/__init__.py")} - {"tests/", "benchmarks/"}
    assert packages <= drawn


def test_a_name_without_a_file_is_found(tmp_path):
    (tmp_path / "router").mkdir()
    (tmp_path / "router" / "table.py").touch()
    assert missing("`router/table.py` and `table.py`, `router/`", tmp_path) == ([], 3)
    assert missing("`router/gone.py`, `table.py`; `gone/`", tmp_path) == (["router/gone.py", "gone/"], 3)
    assert missing("`table.py` alone, and `GET /health`", tmp_path) == (["table.py"], 1)
