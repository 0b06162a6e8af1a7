from modelmesh.router.placements import KEPT_SECONDS, MAX_PLACEMENTS, Placements


def test_the_replicas_of_a_request_are_kept_for_a_while():
    placements = Placements()
    assert placements.before("id") == ()
    placements.note("id", "a", 0.0)
    placements.note("id", "b", 1.0)
    assert placements.before("id") == ("a", "b")
    placements.note("other", "a", KEPT_SECONDS + 2)
    assert placements.before("id") == ()


def test_the_number_of_placements_is_bounded():
    placements = Placements()
    for number in range(MAX_PLACEMENTS + 100):
        placements.note(str(number), "a", 0.0)
    assert len(placements) == MAX_PLACEMENTS
    assert placements.before("0") == ()
    assert placements.before(str(MAX_PLACEMENTS + 99)) == ("a",)
