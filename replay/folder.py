"""A replay's folder: its specification, a row for each request, and at the end the report."""

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
    """Rows are written as they come, so that an interrupted replay can resume."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows = path / "rows.jsonl"
        self._spec = path / "replay.json"
        self._report = path / "report.json"

    def begin(self, spec: dict[str, Any]) -> None:
        """Start a new replay; the files of an earlier one are deleted."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name in ("report.json", "report.html", "rows.parquet"):
            (self.path / name).unlink(missing_ok=True)
        self._rows.write_bytes(b"")
        self._spec.write_bytes(orjson.dumps(spec, option=orjson.OPT_INDENT_2))

    def spec(self) -> dict[str, Any]:
        """Return the specification of the replay in this folder. Raises InvalidInput if there is none."""
        try:
            spec: dict[str, Any] = orjson.loads(self._spec.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            raise InvalidInput(f"there is no replay to resume in {self.path}", field="out") from None
        return spec

    def earlier(self) -> dict[str, dict[str, Any]]:
        """Return the rows that are in the folder, by nonce. A row that was cut off at the end is removed from the file."""
        found: dict[str, dict[str, Any]] = {}
        complete_bytes = 0
        with self._rows.open("r+b") as file:
            for line in file:
                try:
                    row = orjson.loads(line) if line.endswith(b"\n") else None
                except orjson.JSONDecodeError:
                    row = None
                if row is None:
                    break
                found[identity_of(row)] = row
                complete_bytes += len(line)
            file.truncate(complete_bytes)
        return found

    @contextmanager
    def writing(self) -> Iterator[Callable[[dict[str, Any]], None]]:
        """Yield a function that appends a row."""
        with self._rows.open("ab") as file:
            yield lambda row: _write(file, row)

    def finish(self, document: dict[str, Any]) -> None:
        """Write the report as JSON and as an HTML page."""
        (self.path / "report.html").write_text(page(document))
        self._report.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))

    def write_parquet(self) -> None:
        """Write the rows as Parquet too. Raises InvalidInput without pyarrow, or if the rows do not form one table."""
        if importlib.util.find_spec("pyarrow") is None:
            raise InvalidInput("Parquet needs pyarrow: pip install 'modelmesh[parquet]'", field="parquet")
        import pyarrow
        import pyarrow.json
        import pyarrow.parquet

        try:
            pyarrow.parquet.write_table(pyarrow.json.read_json(self._rows), self.path / "rows.parquet")
        except pyarrow.ArrowInvalid as error:
            raise InvalidInput(
                f"the rows do not form one table: {error}; they are in {self._rows}", field="parquet"
            ) from None


def _write(file: Any, row: dict[str, Any]) -> None:
    file.write(orjson.dumps(row) + b"\n")
