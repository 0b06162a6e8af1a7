"""A replay can resume from its folder, also after a kill in the middle of a row."""

import pytest
from modelmesh.replay.folder import ReplayFolder
from modelmesh.schemas.errors import InvalidInput


def row(number):
    return {"request_id": f"r{number}", "replayed": {"label": [number]}, "recorded": None, "agrees": None}


@pytest.fixture
def folder(tmp_path):
    made = ReplayFolder(tmp_path / "replay")
    made.begin({"model": "m"})
    with made.writing() as write:
        for number in range(3):
            write(row(number))
    return made


@pytest.mark.parametrize("cut", [0, 1, 5, 20])
def test_whole_rows_are_kept_and_a_cut_one_is_removed(folder, cut):
    path = folder.path / "rows.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut])
    earlier = folder.earlier()
    assert list(earlier) == ["r0", "r1", "r2"][: 3 - (cut > 0)]
    with folder.writing() as write:
        for number in range(len(earlier), 3):
            write(row(number))
    assert path.read_bytes() == whole


def test_beginning_again_forgets(folder):
    folder.begin({"model": "other"})
    assert (folder.spec(), folder.earlier()) == ({"model": "other"}, {})


def test_a_folder_without_a_replay_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="no replay to resume"):
        ReplayFolder(tmp_path).spec()


def test_rows_of_two_shapes_make_no_table(folder):
    with folder.writing() as write:
        write(row(3) | {"replayed": "text"})
    with pytest.raises(InvalidInput, match=r"rows\.jsonl"):
        folder.write_parquet()
