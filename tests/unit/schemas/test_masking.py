"""Texts that are shown to people contain no password."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from modelmesh.schemas.masking import without_passwords

from ...shell import run

SECRET = "hunter2-of-all"
URLS = [
    "postgresql+asyncpg://me:{}@there:5432/db",
    "redis://:{}@there:6379/0",
    "rediss://me:{}@one:1,me:{}@two:2/0",
    "postgresql://there/db?user=me&password={}",
    "postgresql://there/db?sslpassword={}&x=1",
    "https://{}@there/models",
    "s3://bucket/models?aws_secret_access_key={}",
    "https://there/blob?token={}",
    'org.apache.kafka.plain.PlainLoginModule required username="me" password="{}";',
    "host=there password='{}' user=me",
    "https://me:{}@there/a https://there/b?api_key={}",
]


@pytest.mark.parametrize("url", URLS)
def test_a_password_is_masked_anywhere_in_a_url(url):
    shown = without_passwords(url.replace("{}", SECRET))
    assert SECRET not in shown
    assert "***" in shown


@example("p/w?d#1@x:y")
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30))
def test_a_password_of_any_characters_is_masked(password):
    assert without_passwords(f"redis://me:{password}@there:6379/0") == "redis://me:***@there:6379/0"


@pytest.mark.parametrize(
    "plain", ["127.0.0.1:9092", "sqlite+aiosqlite:///data/db", "file:///artifacts", "me@there.org", ""]
)
def test_text_without_a_password_is_unchanged(plain):
    assert without_passwords(plain) == plain


@pytest.mark.parametrize("arguments", [["settings"], ["settings", "--json"]])
def test_the_settings_are_shown_without_passwords(arguments, monkeypatch):
    places = {"DATABASE": URLS[0], "REDIS": URLS[1], "ARTIFACTS": URLS[6]}
    for name, url in places.items():
        monkeypatch.setenv(f"MODELMESH_{name}", url.replace("{}", SECRET))
    monkeypatch.setenv("MODELMESH_KAFKA_PASSWORD", SECRET)
    shown = run(*arguments, COLUMNS="300").output
    assert "MODELMESH_DATABASE" in shown
    assert SECRET not in shown.replace("\n", "")
    if "--json" in arguments:
        assert json.loads(shown)["MODELMESH_DATABASE"]["value"] == "postgresql+asyncpg://me:***@there:5432/db"
