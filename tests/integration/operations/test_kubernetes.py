"""The Kubernetes manifests: built by kustomize, held against the published schemas, and against the settings there are."""

import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from modelmesh.cli.lazy_commands import NAMES
from modelmesh.schemas.acls import ROLES as KAFKA_ROLES
from modelmesh.schemas.acls import acls
from modelmesh.schemas.settings import Settings
from modelmesh.schemas.topics import Topics

FOLDER = Path(__file__).parents[3] / "deploy" / "k8s"
ROLES = ("gateway", "router", "worker", "control", "recorder")
CUSTOM = ("keda.sh", "kafka.strimzi.io")
needs_kustomize = pytest.mark.skipif(
    shutil.which("kustomize") is None,
    reason="kustomize is not here: `go install sigs.k8s.io/kustomize/kustomize/v5@v5.6.0` puts it into ~/go/bin",
)
pytestmark = needs_kustomize


@pytest.fixture(scope="module", params=["base", "overlays/production", "overlays/strimzi"])
def resources(request):
    built = subprocess.run(["kustomize", "build", FOLDER / request.param], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return list(yaml.safe_load_all(built.stdout))


def deployments(resources):
    found = {each["metadata"]["name"]: each for each in resources if each["kind"] == "Deployment"}
    assert set(found) == set(ROLES)
    return found


def test_each_resource_fits_the_published_schema(resources):
    for resource in resources:
        if resource["apiVersion"].split("/")[0] not in CUSTOM:
            kubernetes_validate.validate(resource, "1.31", strict=True)


def test_each_role_has_a_secret_of_its_own_with_what_it_alone_needs(resources):
    secrets = {each["metadata"]["name"]: each for each in templates()}
    databases = set()
    for role, deployment in deployments(resources).items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        named = [source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source]
        assert named == [f"modelmesh-{role}-secrets"]
        secret = secrets[named[0]]
        kubernetes_validate.validate(secret, "1.31", strict=True)
        assert secret["stringData"]["MODELMESH_KAFKA_USER"] == f"modelmesh-{role}"
        assert {name.removeprefix("MODELMESH_").lower() for name in secret["stringData"]} <= set(Settings.model_fields)
        databases |= {role} if "MODELMESH_DATABASE" in secret["stringData"] else set()
    assert len(secrets) == len(ROLES)
    assert databases == {"gateway", "control", "recorder"}


def templates():
    return list(yaml.safe_load_all((FOLDER / "base" / "secret.example.yaml").read_text()))


def test_strimzis_users_have_the_rights_of_the_table_and_each_role_logs_in_as_its_own():
    built = subprocess.run(
        ["kustomize", "build", FOLDER / "overlays/strimzi"], capture_output=True, text=True, check=True
    )
    resources = list(yaml.safe_load_all(built.stdout))
    users = {e["metadata"]["name"]: e["spec"]["authorization"] for e in resources if e["kind"] == "KafkaUser"}
    expected = {f"modelmesh-{role}": {"type": "simple", "acls": []} for role in KAFKA_ROLES}
    for acl in acls(Topics()):
        resource = {"type": acl.resource, "name": acl.name, "patternType": "prefix" if acl.prefixed else "literal"}
        entry = {"resource": resource, "operations": list(acl.operations)}
        expected[f"modelmesh-{acl.role}"]["acls"].append(entry)
    assert users == expected, (
        "make it anew: modelmesh acls --strimzi modelmesh > deploy/k8s/overlays/strimzi/users.yaml"
    )
    (kafka,) = [each for each in resources if each["kind"] == "Kafka"]
    assert kafka["spec"]["kafka"]["authorization"] == {"type": "simple"}
    for role, deployment in deployments(resources).items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        told = {each["name"]: each for each in container["env"]}
        assert told["MODELMESH_KAFKA_USER"]["value"] == f"modelmesh-{role}"
        secret = told["MODELMESH_KAFKA_PASSWORD"]["valueFrom"]["secretKeyRef"]
        assert secret == {"name": f"modelmesh-{role}", "key": "password"}


def test_each_setting_is_one_that_there_is_and_has_a_value_that_it_may_have(resources, monkeypatch):
    (config,) = [each for each in resources if each["kind"] == "ConfigMap"]
    for name, value in config["data"].items():
        assert name.removeprefix("MODELMESH_").lower() in Settings.model_fields, name
        monkeypatch.setenv(name, value)
    Settings()


def test_each_pod_runs_a_role_as_nobody_in_particular_with_probes_and_limits(resources):
    for name, deployment in deployments(resources).items():
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["args"] == [name]
        assert name in NAMES
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["resources"].keys() == {"requests", "limits"}
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
        assert len(pod["topologySpreadConstraints"]) == 2
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_what_chooses_pods_chooses_some(resources):
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in deployments(resources).values()]
    for resource in resources:
        spec = resource.get("spec", {})
        selector = {
            "Service": lambda spec: spec["selector"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
        }.get(resource["kind"])
        if selector is not None:
            assert any(selector(spec).items() <= pod.items() for pod in labels), resource["metadata"]["name"]
        if resource["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = spec["scaleTargetRef"]["name"]
            assert target in ROLES
            if "replicas" in deployments(resources)[target]["spec"]:
                assert resource["kind"] == "HorizontalPodAutoscaler", "KEDA and a fixed number would fight"


def test_the_one_writer_is_never_two(resources):
    for name in ("control", "recorder"):
        spec = deployments(resources)[name]["spec"]
        assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
        (container,) = spec["template"]["spec"]["containers"]
        assert {"name": "MODELMESH_NAME", "value": name} in container["env"]


def test_each_role_reaches_the_parts_that_it_uses_and_no_others(resources):
    (config,) = [each for each in resources if each["kind"] == "ConfigMap"]
    kafka = int(config["data"]["MODELMESH_KAFKA"].rpartition(":")[2])
    ports = {"MODELMESH_DATABASE": 5432, "MODELMESH_REDIS": 6379}
    needs = {
        each["metadata"]["name"]: {ports[name] for name in each["stringData"] if name in ports} for each in templates()
    }
    for role, deployment in deployments(resources).items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        rules = [
            rule
            for each in resources
            if each["kind"] == "NetworkPolicy" and each["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
            for rule in each["spec"].get("egress", ())
        ]
        reached = {port["port"] for rule in rules for port in rule["ports"]}
        assert {kafka, 53} <= reached
        assert reached & set(ports.values()) == needs[f"modelmesh-{role}-secrets"]
