"""A replay matches a label with the same request as the inference log does."""

import pytest
from modelmesh.replay.folder import ReplayFolder
from modelmesh.replay.labels import AnsweredRequest, TimedLabel, match_labels

ONE, TWO = AnsweredRequest("7", "a", 10.0), AnsweredRequest("7", "b", 20.0)
SHOP, BANK = AnsweredRequest("7", "a", 10.0, "shop"), AnsweredRequest("7", "b", 20.0, "bank")


@pytest.mark.parametrize(
    ("answers", "labels", "found"),
    [
        ([ONE], [TimedLabel("7", [1], 99.0)], {"a": [1]}),
        ([TWO, ONE], [TimedLabel("7", [1], 99.0)], {"b": [1]}),
        ([TWO, ONE], [TimedLabel("7", [1], 15.0), TimedLabel("7", [2], 25.0)], {"a": [1], "b": [2]}),
        ([TWO, ONE], [TimedLabel("7", [1], 5.0)], {"a": [1]}),
        ([TWO, ONE], [TimedLabel("7", [1], 99.0), TimedLabel("7", [2])], {"b": [2]}),
        ([SHOP, BANK], [TimedLabel("7", [1], 99.0, "shop")], {"a": [1]}),
        ([SHOP], [TimedLabel("7", [1], 99.0, "auditor")], {"a": [1]}),
        ([SHOP, BANK], [TimedLabel("7", [1], 99.0, "auditor")], {}),
        ([ONE], [TimedLabel("8", [1], 99.0)], {}),
    ],
)
def test_which_request_a_label_is_about(answers, labels, found):
    assert match_labels(answers, labels) == found


def test_two_replayed_requests_under_one_id_are_two_rows_when_a_replay_goes_on(tmp_path):
    folder = ReplayFolder(tmp_path / "replay")
    folder.begin({})
    rows = [{"request_id": "7", "nonce": nonce} for nonce in "ab"] + [{"request_id": "of-an-earlier-release"}]
    with folder.writing() as write:
        for row in rows:
            write(row)
    assert folder.earlier() == {"a": rows[0], "b": rows[1], "of-an-earlier-release": rows[2]}
