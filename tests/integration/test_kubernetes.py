"""The Kubernetes manifests: built by kustomize, held against the published schemas, and against the settings there are."""

import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from modelmesh.cli.lazy_commands import NAMES
from modelmesh.schemas.settings import Settings

FOLDER = Path(__file__).parents[2] / "deploy" / "k8s"
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


def test_the_secrets_template_fits_too():
    secret = yaml.safe_load((FOLDER / "base" / "secret.example.yaml").read_text())
    kubernetes_validate.validate(secret, "1.31", strict=True)
    assert {name.removeprefix("MODELMESH_").lower() for name in secret["stringData"]} <= set(Settings.model_fields)


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


def test_the_ports_that_parts_listen_on_may_be_reached(resources):
    (policy,) = [e for e in resources if e["kind"] == "NetworkPolicy" and e["metadata"]["name"] == "modelmesh"]
    (config,) = [each for each in resources if each["kind"] == "ConfigMap"]
    open_ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    assert int(config["data"]["MODELMESH_KAFKA"].rpartition(":")[2]) in open_ports
    assert {5432, 6379, 53} <= open_ports
