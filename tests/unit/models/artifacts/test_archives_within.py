"""Nested archives count towards the limits, and are checked as strictly as the outer one."""

import io
import zipfile

import numpy as np
import pytest
from modelmesh.models.artifacts.archives import check_archive
from modelmesh.schemas.errors import InvalidInput
from scipy import sparse

LARGEST = 10_000_000


def packed(**entries):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return written.getvalue()


def check(tmp_path, content):
    path = tmp_path / "archive"
    path.write_bytes(content)
    check_archive(path, LARGEST)


def test_a_sparse_matrix_in_an_archive_is_fine(tmp_path):
    matrix = io.BytesIO()
    sparse.save_npz(matrix, sparse.random(100, 50, 0.1, random_state=0, format="csr"))
    array = io.BytesIO()
    np.save(array, np.arange(1000.0))
    check(tmp_path, packed(schema=b"{}", matrix=matrix.getvalue(), array=array.getvalue()))


@pytest.mark.parametrize(
    ("inner", "says"),
    [
        (packed(a=np.random.default_rng(0).bytes(900_000)), None),
        (packed(**{f"part{n}": b"0123456789" * 100_000 for n in range(11)}), "grows|unpacks"),
        (packed(**{f"part{n}": bytes(range(256)) * 3900 for n in range(11)}), "unpacks"),
        (packed(**{"../a": b"x"}), "leads out"),
        (packed(a=packed(b=b"x")), "in a nested archive"),
        (packed(a=b"x") + b"behind", "after the archive"),
        (b"PK\x03\x04 and no archive", "cannot be read"),
    ],
)
def test_a_nested_archive_counts_and_is_checked(tmp_path, inner, says):
    whole = packed(schema=b"{}", inner=inner)
    if says is None:
        check(tmp_path, whole)
        return
    with pytest.raises(InvalidInput, match=says):
        check(tmp_path, whole)


def test_several_small_nested_archives_count_together(tmp_path):
    part = packed(a=bytes(range(256)) * 3900)
    check(tmp_path, packed(one=part, two=part))
    with pytest.raises(InvalidInput, match="unpacks"):
        check(tmp_path, packed(**{f"part{n}": part for n in range(12)}))


def test_an_entry_with_a_password_is_refused(tmp_path):
    content = bytearray(packed(a=b"x" * 100))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] |= 1
    with pytest.raises(InvalidInput, match="cannot be read"):
        check(tmp_path, bytes(content))
