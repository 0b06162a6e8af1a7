"""Keys, what they may do, and who is told what."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmesh.access.api_keys import check_key, make_key
from modelmesh.access.caller import Caller
from modelmesh.access.rate_limiter import RateLimiter
from modelmesh.access.tls import tls_context
from modelmesh.broker.kafka.security import security_options
from modelmesh.schemas.errors import Forbidden, RateLimited, SetupError, Unauthorized
from modelmesh.schemas.payloads.keys import ApiKey
from modelmesh.schemas.settings import Settings


def test_a_key_is_known_by_its_secret_alone_and_keeps_none_of_it():
    key, shown = make_key("ci", ("predict",), now=0.0)
    secret = shown.rpartition(f"{key.id}_")[2]
    assert check_key(shown, {key.id: key}.get, 1.0) == key
    assert secret not in key.model_dump_json()
    assert ApiKey.model_validate_json(key.model_dump_json()) == key


@given(st.text(max_size=80))
def test_no_other_text_is_taken(text):
    key, shown = make_key("ci", ("predict",), now=0.0)
    for wrong in (text, shown + text if text else shown[:-1], shown[:-1] + ("A" if shown[-1] != "A" else "B")):
        with pytest.raises(Unauthorized):
            check_key(wrong, {key.id: key}.get, 1.0)


@pytest.mark.parametrize(("change", "word"), [({"expires_at": 10.0}, "expired"), ({"revoked_at": 5.0}, "revoked")])
def test_what_is_over_is_said_to_who_knows_the_secret_and_to_nobody_else(change, word):
    key, shown = make_key("ci", ("predict",), now=0.0)
    ended = key.model_copy(update=change)
    with pytest.raises(Unauthorized, match=word):
        check_key(shown, {key.id: ended}.get, 10.0)
    with pytest.raises(Unauthorized, match="not known"):
        check_key(f"mm_{key.id}_{'x' * 43}", {key.id: ended}.get, 10.0)


def test_a_scope_is_no_other_and_admin_is_all():
    for scopes, may in (
        ({"predict"}, {"predict"}),
        ({"deploy"}, {"deploy"}),
        ({"admin"}, {"predict", "deploy", "admin"}),
    ):
        for scope in ("predict", "deploy", "admin"):
            caller = Caller(name="ci", scopes=frozenset(scopes))
            if scope in may:
                caller.check_scope(scope)
            else:
                with pytest.raises(Forbidden, match=scope):
                    caller.check_scope(scope)


def test_a_key_for_some_models_is_for_no_other():
    caller = Caller(name="ci", models=frozenset(("fraud",)))
    caller.check_model("fraud")
    with pytest.raises(Forbidden):
        caller.check_model("spam")
    Caller().check_model("anything")


async def test_a_key_gets_its_requests_a_minute_and_is_told_when_to_come_again():
    limiter, began = RateLimiter("", "test"), time.time()
    left = [(await limiter.take("a", 5)).left for _ in range(5)]
    assert left == [4, 3, 2, 1, 0]
    with pytest.raises(RateLimited) as refused:
        await limiter.take("a", 5)
    assert 1 <= refused.value.retry_after <= 120
    assert refused.value.headers["RateLimit-Limit"] == "5"
    assert refused.value.headers["RateLimit-Remaining"] == "0"
    assert (await limiter.take("b", 5)).left == 4, "another key has a minute of its own"
    assert time.time() - began < 30


def test_a_wrong_redis_url_is_said_in_one_line():
    with pytest.raises(SetupError, match="MODELMESH_REDIS"):
        RateLimiter("localhost:6379", "test")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kafka_security": "SASL_SSL"}, "MODELMESH_KAFKA_USER"),
        ({"kafka_security": "SSL", "kafka_ca": "/nowhere.pem"}, "/nowhere.pem"),
        ({"kafka_security": "SSL", "kafka_ca": __file__}, "not a PEM file"),
    ],
)
def test_settings_for_kafka_that_cannot_be_used_are_named(settings, says):
    with pytest.raises(SetupError, match=says):
        security_options(Settings(**settings))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"tls_cert": "/nowhere.pem"}, "/nowhere.pem"),
        ({"tls_key": "/nowhere.pem"}, "MODELMESH_TLS_CERT"),
        ({"tls_cert": __file__}, "do not fit"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(settings, says):
    with pytest.raises(SetupError, match=says):
        tls_context(Settings(**settings))
