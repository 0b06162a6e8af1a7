"""A label in a replay is about the same request as in the inference log."""

import pytest
from modelmesh.replay.folder import ReplayFolder
from modelmesh.replay.labels import Answered, Said, truths

ONE, TWO = Answered("7", "a", 10.0), Answered("7", "b", 20.0)
SHOP, BANK = Answered("7", "a", 10.0, "shop"), Answered("7", "b", 20.0, "bank")


@pytest.mark.parametrize(
    ("answers", "said", "found"),
    [
        ([ONE], [Said("7", [1], 99.0)], {"a": [1]}),
        ([TWO, ONE], [Said("7", [1], 99.0)], {"b": [1]}),
        ([TWO, ONE], [Said("7", [1], 15.0), Said("7", [2], 25.0)], {"a": [1], "b": [2]}),
        ([TWO, ONE], [Said("7", [1], 5.0)], {"a": [1]}),
        ([TWO, ONE], [Said("7", [1], 99.0), Said("7", [2])], {"b": [2]}),
        ([SHOP, BANK], [Said("7", [1], 99.0, "shop")], {"a": [1]}),
        ([SHOP], [Said("7", [1], 99.0, "auditor")], {"a": [1]}),
        ([SHOP, BANK], [Said("7", [1], 99.0, "auditor")], {}),
        ([ONE], [Said("8", [1], 99.0)], {}),
    ],
)
def test_which_request_a_label_is_about(answers, said, found):
    assert truths(answers, said) == found


def test_two_replayed_requests_under_one_id_are_two_rows_when_a_replay_goes_on(tmp_path):
    folder = ReplayFolder(tmp_path / "replay")
    folder.begin({})
    rows = [{"request_id": "7", "nonce": nonce} for nonce in "ab"] + [{"request_id": "of-an-earlier-release"}]
    with folder.writing() as write:
        for row in rows:
            write(row)
    assert folder.earlier() == {"a": rows[0], "b": rows[1], "of-an-earlier-release": rows[2]}
