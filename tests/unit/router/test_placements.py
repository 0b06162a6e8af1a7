from modelmesh.router.placements import KEPT_SECONDS, MAX_PLACEMENTS, Placements


def test_it_knows_who_had_a_request_for_a_while():
    placements = Placements()
    assert placements.before("id") == ()
    placements.note("id", "a", 0.0)
    placements.note("id", "b", 1.0)
    assert placements.before("id") == ("a", "b")
    placements.note("other", "a", KEPT_SECONDS + 2)
    assert placements.before("id") == ()


def test_it_does_not_grow_for_ever():
    placements = Placements()
    for number in range(MAX_PLACEMENTS + 100):
        placements.note(str(number), "a", 0.0)
    assert len(placements) == MAX_PLACEMENTS
    assert placements.before("0") == ()
    assert placements.before(str(MAX_PLACEMENTS + 99)) == ("a",)
