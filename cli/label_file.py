"""Read a CSV file of labels, with the columns request_id and label."""

from __future__ import annotations

import csv
from pathlib import Path

from ..schemas.errors import InvalidInput


def read_labels(path: Path) -> dict[str, str]:
    """Return the labels by request id. Raises InvalidInput."""
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            if not {"request_id", "label"} <= set(reader.fieldnames or ()):
                raise InvalidInput(f"{path} needs the columns request_id and label", field="labels")
            return {row["request_id"]: row["label"] for row in reader}
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", field="labels") from None
