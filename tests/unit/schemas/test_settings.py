"""Each role reads only its own settings."""

import pytest
from modelmesh.schemas import settings as parts
from modelmesh.schemas.settings import ControlSettings, GatewaySettings, RouterSettings, Settings, WorkerSettings
from pydantic import ValidationError
from pydantic_settings import BaseSettings

CLASSES = [value for value in vars(parts).values() if isinstance(value, type) and issubclass(value, BaseSettings)]


def own_fields(cls):
    return [name for name in vars(cls).get("__annotations__", {}) if name in cls.model_fields]


def test_a_field_is_declared_once_and_described():
    declared = [name for cls in CLASSES for name in own_fields(cls)]
    assert sorted(declared) == sorted(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_a_value_comes_from_the_environment_under_its_own_name(monkeypatch):
    monkeypatch.setenv("MODELMESH_PREFIX", "shop")
    monkeypatch.setenv("MODELMESH_DRIFT_WINDOW", "60")
    assert {cls().prefix for cls in (GatewaySettings, RouterSettings, WorkerSettings, ControlSettings)} == {"shop"}
    assert ControlSettings().drift_window == Settings().drift_window == 60


def test_a_wrong_value_stops_only_the_role_that_reads_it(monkeypatch):
    monkeypatch.setenv("MODELMESH_DRIFT_WINDOW", "3")
    RouterSettings()
    with pytest.raises(ValidationError, match="drift_window"):
        ControlSettings()


def test_a_role_does_not_read_another_roles_settings():
    assert "drift_window" not in RouterSettings.model_fields
    assert "database" not in RouterSettings.model_fields
    assert "balancing" not in WorkerSettings.model_fields
    assert "jwt_issuer" not in WorkerSettings.model_fields
