"""docker-compose.yml: no password that everybody knows, a Kafka user for each role, and nothing that starts without."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from modelmesh.schemas.acls import ROLES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES = yaml.safe_load(TEXT)["services"]
PASSWORD = re.compile(r"\$\{(\w+_PASSWORD)(:\?[^}]*)?\}")


def made_by_the_script(folder):
    (folder / "deploy").mkdir(exist_ok=True)
    shutil.copy(ROOT / "deploy" / "passwords.sh", folder / "deploy")
    subprocess.run(["sh", "deploy/passwords.sh"], cwd=folder, check=True, capture_output=True)
    return dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines())


def test_each_password_is_made_by_the_script_and_nothing_starts_without(tmp_path):
    asked = {match[1]: match[2] for match in PASSWORD.finditer(TEXT)}
    made = made_by_the_script(tmp_path)
    assert set(asked) == set(made)
    assert all(asked.values()), "a password without `:?` is empty where .env is not there"
    assert all(len(password) == 48 for password in made.values())
    assert len(set(made.values())) == len(made)
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0


def test_the_script_keeps_what_is_there_and_adds_what_is_missing(tmp_path):
    (tmp_path / ".env").write_text("REDIS_PASSWORD=mine\n")
    first = made_by_the_script(tmp_path)
    assert first["REDIS_PASSWORD"] == "mine"
    assert made_by_the_script(tmp_path) == first


def test_no_password_stands_in_the_file():
    """Wherever a password is set, by whatever name, it comes from .env."""
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name:
                assert PASSWORD.fullmatch(value), name
            for secret in re.findall(r'(?:password|user_[\w-]+)="([^"]*)"|://\w*:([^@]*)@', str(value)):
                assert PASSWORD.fullmatch("".join(secret)), name


@pytest.mark.parametrize("role", [role for role in ROLES if role != "client"])
def test_a_role_logs_in_as_itself(role):
    environment = SERVICES[role]["environment"]
    assert environment["MODELMESH_KAFKA_SECURITY"] == "SASL_PLAINTEXT"
    assert environment["MODELMESH_KAFKA_USER"] == f"modelmesh-{role}"
    assert PASSWORD.fullmatch(environment["MODELMESH_KAFKA_PASSWORD"])[1] == f"KAFKA_{role.upper()}_PASSWORD"
    others = {f"KAFKA_{other.upper()}_PASSWORD" for other in (*ROLES, "admin") if other != role}
    assert not others & {match[1] for match in PASSWORD.finditer(str(SERVICES[role]))}
    assert SERVICES[role]["depends_on"]["rights"] == {"condition": "service_completed_successfully"}


def test_kafka_knows_the_roles_users_and_lets_nobody_in_without():
    kafka = SERVICES["kafka"]["environment"]
    users = dict(re.findall(r'user_([\w-]+)="\$\{(\w+):', kafka["KAFKA_LISTENER_NAME_USERS_PLAIN_SASL_JAAS_CONFIG"]))
    assert users == {"admin": "KAFKA_ADMIN_PASSWORD"} | {
        f"modelmesh-{role}": f"KAFKA_{role.upper()}_PASSWORD" for role in ROLES
    }
    protocols = dict(pair.split(":") for pair in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    listeners = dict(pair.split("://") for pair in kafka["KAFKA_LISTENERS"].split(","))
    assert set(protocols) == set(listeners) == {"USERS", "CONTROLLER"}
    assert set(protocols.values()) == {"SASL_PLAINTEXT"}
    assert listeners["CONTROLLER"].startswith("localhost:")
    assert kafka["KAFKA_SUPER_USERS"] == "User:admin"
    assert kafka["KAFKA_AUTHORIZER_CLASS_NAME"].endswith(".StandardAuthorizer")
    assert "ports" not in SERVICES["kafka"]
    assert SERVICES["rights"]["command"] == "acls --apply"


def test_what_asks_for_no_key_is_for_this_machine_alone():
    for name, service in SERVICES.items():
        if name != "gateway":
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
