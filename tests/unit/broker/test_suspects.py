import pytest
from modelmesh.broker.kafka.suspects import CLEAN, IN_USE, TRYING, Suspects


@pytest.mark.parametrize(
    ("offset", "metadata", "end", "expected"),
    [
        (5, CLEAN, 9, None),  # its owner ended in order
        (None, IN_USE, 9, None),  # nobody has ever committed
        (-1, IN_USE, 9, None),
        (9, IN_USE, 9, None),  # nothing was in hand
        (5, IN_USE, 9, Suspects(9)),
        (5, TRYING, 9, Suspects(9, killer=5)),
        (5, TRYING, 5, None),  # the log has forgotten it
    ],
)
def test_a_commit_tells_what_may_have_killed_its_owner(offset, metadata, end, expected):
    assert Suspects.from_commit(offset, metadata, end) == expected
