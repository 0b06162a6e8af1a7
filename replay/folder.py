"""A replay's folder: what was asked for, a row for each request, and in the end the report."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from ..schemas.errors import InvalidInput
from .labels import identity_of
from .page import page


class ReplayFolder:
    """Rows are written as they come, so an interrupted replay goes on where it was."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows = path / "rows.jsonl"
        self._asked = path / "replay.json"
        self._report = path / "report.json"

    def begin(self, asked: dict[str, Any]) -> None:
        """Begin afresh; what an earlier replay left here is gone."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name in ("report.json", "report.html", "rows.parquet"):
            (self.path / name).unlink(missing_ok=True)
        self._rows.write_bytes(b"")
        self._asked.write_bytes(orjson.dumps(asked, option=orjson.OPT_INDENT_2))

    def asked(self) -> dict[str, Any]:
        """Return what the replay in this folder was asked for. Raises InvalidInput where there is none."""
        try:
            asked: dict[str, Any] = orjson.loads(self._asked.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            raise InvalidInput(f"there is no replay to go on with in {self.path}", field="out") from None
        return asked

    def earlier(self) -> dict[str, dict[str, Any]]:
        """Return the rows that are there, by nonce; one that was cut off at the end is taken away."""
        found: dict[str, dict[str, Any]] = {}
        whole = 0
        with self._rows.open("r+b") as file:
            for line in file:
                try:
                    row = orjson.loads(line) if line.endswith(b"\n") else None
                except orjson.JSONDecodeError:
                    row = None
                if row is None:
                    break
                found[identity_of(row)] = row
                whole += len(line)
            file.truncate(whole)
        return found

    @contextmanager
    def writing(self) -> Iterator[Callable[[dict[str, Any]], None]]:
        """Yield what writes a row behind those that are there."""
        with self._rows.open("ab") as file:
            yield lambda row: _write(file, row)

    def finish(self, document: dict[str, Any]) -> None:
        """Write the report as JSON and as a page."""
        (self.path / "report.html").write_text(page(document))
        self._report.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))

    def write_parquet(self) -> None:
        """Write the rows as Parquet too. Raises InvalidInput without pyarrow, or where rows do not make one table."""
        if importlib.util.find_spec("pyarrow") is None:
            raise InvalidInput("Parquet needs pyarrow: pip install 'modelmesh[parquet]'", field="parquet")
        import pyarrow
        import pyarrow.json
        import pyarrow.parquet

        try:
            pyarrow.parquet.write_table(pyarrow.json.read_json(self._rows), self.path / "rows.parquet")
        except pyarrow.ArrowInvalid as error:
            raise InvalidInput(
                f"the rows do not make one table: {error}; {self._rows} has them", field="parquet"
            ) from None


def _write(file: Any, row: dict[str, Any]) -> None:
    file.write(orjson.dumps(row) + b"\n")
