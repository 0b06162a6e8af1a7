"""skops files: zip archives whose schema names the types that are made of them. Each type must be trusted, by its name."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from ...schemas.errors import InvalidInput, PickleRefused
from .archives import check_archive

# Beside what skops trusts by itself: classes of scikit-learn's compiled modules, which hold numbers.
_TRUSTED = re.compile(
    r"sklearn\.tree\._tree\.Tree|sklearn\._loss\.\w+\.\w+|sklearn\.ensemble\._hist_gradient_boosting\.\w+\.\w+"
    r"|sklearn\.neighbors\._(kd|ball)_tree\.\w+|sklearn\.linear_model\._sgd_fast\.\w+|sklearn\.metrics\._dist_metrics\.\w+"
)


def is_skops(path: Path) -> bool:
    """Whether the file is one of skops', not a pickle."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "schema.json" in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def check_skops(path: Path, max_bytes: int) -> None:
    """Raise InvalidInput for an archive that is not plain or holds what is not trusted."""
    check_archive(path, max_bytes)
    trusted_types(path)


def trusted_types(path: Path) -> list[str]:
    """Return the types of a skops file beyond skops' own list. Raises InvalidInput naming one that is not trusted here."""
    import skops.io

    try:
        unknown = skops.io.get_untrusted_types(file=path)
    except Exception as error:  # somebody's file
        raise InvalidInput(
            f"the file is not one of skops': {type(error).__name__}: {error}"[:300], field="artifact"
        ) from None
    bad = [name for name in unknown if not _TRUSTED.fullmatch(name)]
    if bad:
        raise PickleRefused(
            f"the file has the type {bad[0][:100]!r}, which is not trusted to be loaded", field="artifact"
        )
    return list(unknown)
