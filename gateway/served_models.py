"""What the log says can be asked: models with a release, their versions and tensors, and whether a worker has them loaded."""

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

# Of the Open Inference Protocol.
EXTENSIONS = ("binary_tensor_data", "model_repository")


class ServedModels:
    """Answers of the Open Inference Protocol about models, whichever way they are asked for."""

    def __init__(self, releases: ReleasesView, replicas: ReplicaView) -> None:
        self._releases = releases
        self._replicas = replicas

    def ready(self) -> bool:
        """Whether every release can be used."""
        return all(self._usable(release) for release in self._releases.releases.values())

    def metadata(self, model: str, version: str) -> dict[str, Any]:
        """Return a model's tensors; without a version those of stable. Raises ModelNotFound, VersionNotFound."""
        release, version = self._named(model, version)
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
        """Return what stable takes and gives; None for a model without a release."""
        release = self._releases.releases.get(model)
        return release.versions[release.stable.version].signature if release is not None else None

    def model_ready(self, model: str, version: str) -> bool:
        """Whether a model, or a version of it, can be asked. Raises ModelNotFound, VersionNotFound."""
        release, found = self._named(model, version)
        return self._replicas.serves(release.model, release.versions[found]) if version else self._usable(release)

    def index(self, who: Caller, *, ready: bool) -> list[dict[str, Any]]:
        """Return the versions in the releases of a caller's models, and whether each is loaded; `ready`: only those that are."""
        found = []
        for name, release in sorted(self._releases.releases.items()):
            if not who.sees(name):
                continue
            for version, spec in release.versions.items():
                loaded = self._replicas.serves(name, spec)
                if loaded or not ready:
                    state, reason = ("READY", "") if loaded else ("UNAVAILABLE", "no worker has it loaded")
                    found.append({"name": name, "version": version, "state": state, "reason": reason})
        return found

    def load(self, model: str) -> None:
        """Return if a model's workers have it loaded. Raises NoWorker while they are about to."""
        release, _ = self._named(model, "")
        if not self._usable(release):
            raise NoWorker(f"{release.model} is deployed, and no worker has it loaded yet")

    def unload(self, model: str) -> None:
        """Refuse: what is loaded follows from the releases."""
        self._named(model, "")
        raise MalformedRequest(
            "models are loaded and unloaded by their releases here: deploy another version (POST /deployments)",
            field="model",
        )

    def _usable(self, release: Release) -> bool:
        return self._replicas.serves(release.model, release.versions[release.stable.version])

    def _named(self, model: str, version: str) -> tuple[Release, str]:
        release = self._releases.get(check_served_name(model))
        version = version or release.stable.version
        if version not in release.versions:
            raise VersionNotFound(
                f"version {version[:40]!r} is not part of the release of {model}: {', '.join(release.versions)}",
                field="version",
            )
        return release, version


def check_served_name(model: str) -> str:
    """Return the name. Raises ModelNotFound for what no model can be named."""
    if not MODEL_NAME.fullmatch(model):
        raise ModelNotFound(f"there is no model named {model[:80]!r}", field="model")
    return model
