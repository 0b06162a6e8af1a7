"""Metadata and readiness of the models that have a release, from the log, for the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

from ..access.caller import Caller
from ..broker.views.releases import ReleasesView
from ..broker.views.replicas import ReplicaView
from ..models.values.inference_protocol import tensor_document
from ..schemas.errors import MalformedRequest, ModelNotFound, NoWorker, VersionNotFound
from ..schemas.names import MODEL_NAME
from ..schemas.payloads.releases import Release
from ..schemas.payloads.signatures import Signature

# The supported extensions of the Open Inference Protocol.
EXTENSIONS = ("binary_tensor_data", "model_repository")


class ServedModels:
    """The Open Inference Protocol's answers about models, for both HTTP and gRPC."""

    def __init__(self, releases: ReleasesView, replicas: ReplicaView) -> None:
        self._releases = releases
        self._replicas = replicas

    def ready(self) -> bool:
        """Whether a worker has loaded the stable version of every release."""
        return all(self._usable(release) for release in self._releases.releases.values())

    def metadata(self, model: str, version: str) -> dict[str, Any]:
        """Return a model's tensors, by default those of the stable version. Raises ModelNotFound, VersionNotFound."""
        release, version = self._release_and_version(model, version)
        spec = release.versions[version]
        kinds = dict.fromkeys((spec.framework, spec.served_as))
        return {
            "name": release.model,
            "versions": list(release.versions),
            "platform": "_".join(kinds),
            "inputs": [tensor_document(tensor) for tensor in spec.signature.inputs],
            "outputs": [tensor_document(tensor) for tensor in spec.signature.outputs],
        }

    def signature(self, model: str) -> Signature | None:
        """Return the stable version's signature; None for a model without a release."""
        release = self._releases.releases.get(model)
        return release.versions[release.stable.version].signature if release is not None else None

    def model_ready(self, model: str, version: str) -> bool:
        """Whether a model, or one of its versions, is ready. Raises ModelNotFound, VersionNotFound."""
        release, found = self._release_and_version(model, version)
        return self._replicas.serves(release.model, release.versions[found]) if version else self._usable(release)

    def index(self, who: Caller, *, ready: bool) -> list[dict[str, Any]]:
        """Return the versions in the releases of the caller's models, with their state; `ready`: only loaded versions."""
        found = []
        for name, release in sorted(self._releases.releases.items()):
            if not who.sees(name):
                continue
            for version, spec in release.versions.items():
                loaded = self._replicas.serves(name, spec)
                if loaded or not ready:
                    state, reason = ("READY", "") if loaded else ("UNAVAILABLE", "no worker has loaded it")
                    found.append({"name": name, "version": version, "state": state, "reason": reason})
        return found

    def load(self, model: str) -> None:
        """Check that a model is loaded. Raises NoWorker if it is not yet."""
        release, _ = self._release_and_version(model, "")
        if not self._usable(release):
            raise NoWorker(f"{release.model} is deployed, but no worker has loaded it yet")

    def unload(self, model: str) -> None:
        """Raise MalformedRequest: the releases determine what is loaded."""
        self._release_and_version(model, "")
        raise MalformedRequest(
            "releases determine which models are loaded: deploy another version (POST /deployments)",
            field="model",
        )

    def _usable(self, release: Release) -> bool:
        return self._replicas.serves(release.model, release.versions[release.stable.version])

    def _release_and_version(self, model: str, version: str) -> tuple[Release, str]:
        release = self._releases.get(check_served_name(model))
        version = version or release.stable.version
        if version not in release.versions:
            raise VersionNotFound(
                f"version {version[:40]!r} is not part of the release of {model}: {', '.join(release.versions)}",
                field="version",
            )
        return release, version


def check_served_name(model: str) -> str:
    """Return the name. Raises ModelNotFound if it is not a valid model name."""
    if not MODEL_NAME.fullmatch(model):
        raise ModelNotFound(f"there is no model named {model[:80]!r}", field="model")
    return model
