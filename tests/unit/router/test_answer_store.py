"""The in-memory cache, and the digest of the inputs."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.router.answer_store import ENTRY_BYTES, AnswerKey, MemoryAnswers
from modelmesh.router.inputs_digest import inputs_digest

KEY = AnswerKey("fraud", "1.0.0", "ab12", "77")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def found(store, key):
    seen = []
    store.get(key, seen.append)
    return seen[0]


def test_an_answer_is_kept_for_its_ttl():
    clock = Clock()
    store = MemoryAnswers(10_000, clock)
    store.put(KEY, b"yes", 10)
    clock.now = 9.9
    assert found(store, KEY) == b"yes"
    clock.now = 10.0
    assert found(store, KEY) is None


@pytest.mark.parametrize(
    "other",
    [KEY._replace(model="spam"), KEY._replace(version="2.0.0"), KEY._replace(identity="cd"), KEY._replace(inputs="78")],
)
def test_another_model_version_artifact_or_input_has_another_answer(other):
    store = MemoryAnswers(10_000, Clock())
    store.put(KEY, b"yes", 10)
    assert found(store, other) is None


def test_dropping_a_version_keeps_the_others():
    store, other = MemoryAnswers(10_000, Clock()), KEY._replace(version="2.0.0")
    store.put(KEY, b"old", 10)
    store.put(other, b"new", 10)
    store.drop("fraud", "1.0.0")
    assert found(store, KEY) is None
    assert found(store, other) == b"new"


@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=3000)), max_size=40))
def test_the_store_stays_within_its_limit_and_never_holds_a_wrong_answer(puts):
    store, last = MemoryAnswers(8 * ENTRY_BYTES, Clock()), {}
    for number, answer in puts:
        key = KEY._replace(inputs=str(number))
        store.put(key, answer, 10)
        last[key] = answer
        assert store._answers.currsize <= 8 * ENTRY_BYTES
        for known, expected in last.items():
            assert found(store, known) in (expected, None)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(values, values)
def test_equal_inputs_and_only_they_have_the_same_digest(some, others):
    def text(inputs, **options):
        return orjson.dumps({"inputs": inputs}, **options)

    reordered = dict(reversed(some.items())) if isinstance(some, dict) else some
    assert inputs_digest(text(some)) == inputs_digest(text(reordered, option=orjson.OPT_INDENT_2))
    same = orjson.dumps(some, option=orjson.OPT_SORT_KEYS) == orjson.dumps(others, option=orjson.OPT_SORT_KEYS)
    assert (inputs_digest(text(some)) == inputs_digest(text(others))) == same


def test_unreadable_inputs_have_no_digest():
    assert inputs_digest(b"{") is None
    assert inputs_digest(b'{"input": 1}') is None
