"""The client's calls to `/deployments` and `/experiments`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from ..schemas.documents.counterfactual import Counterfactual
from ..schemas.documents.releases import (
    CanaryDocument,
    Deployed,
    DeploymentDocument,
    EventDocument,
    ExperimentDocument,
)
from .gateway_session import GatewaySession, model_query
from .options import CanaryRules, ChangeOptions, CounterfactualRules


class ReleaseCalls:
    """Deployments, canaries, shadows, experiments, and the history."""

    _http: GatewaySession

    async def deploy(
        self, name: str, version: str, *, generation: int | None = None, actor: str = "", reason: str = ""
    ) -> Deployed:
        """Send all requests to a version; return the new release.

        Raises StaleGeneration if the release has changed since `generation`, ControlPlaneUnavailable.
        """
        change = {"model": name, "version": version, "generation": generation, "actor": actor, "reason": reason}
        return await self._change("/deployments", change)

    async def create_canary(
        self,
        name: str,
        candidate_version: str,
        initial_percentage: float | None = None,
        auto_rollback_threshold: float | None = None,
        **rules: Unpack[CanaryRules],
    ) -> Deployed:
        """Send a share of the requests to a candidate; the judge rolls it back if it is worse. Return the new release.

        `rules` are those of POST /deployments/canary: steps, hold_seconds, window_seconds, min_requests, alpha,
        latency_tolerance, latency_floor_ms, warm_up_seconds, failure_margin, accuracy_margin, on_accuracy, on_output_drift,
        mirror_share, answer_tolerance, max_disagreement, on_disagreement, on_drift, generation, actor, reason. Raises
        IllegalTransition while another trial runs, SignatureDiffers, InvalidInput.
        """
        change = {
            "model": name,
            "candidate_version": candidate_version,
            "initial_percentage": initial_percentage,
            "auto_rollback_threshold": auto_rollback_threshold,
            **rules,
        }
        return await self._change("/deployments/canary", change)

    async def canary(self, name: str) -> CanaryDocument:
        """Return a canary with its evidence, by the model's name or the canary's id. Raises NotFound."""
        return CanaryDocument.received(await self._http.request("GET", f"/deployments/canary/{name}"))

    async def set_canary_percentage(self, name: str, percentage: float, **change: Unpack[ChangeOptions]) -> Deployed:
        """Change a canary's share of the requests."""
        return await self._change(f"/deployments/canary/{name}/percentage", {"percentage": percentage, **change})

    async def promote_canary(self, name: str, **change: Unpack[ChangeOptions]) -> Deployed:
        """Send all requests to the candidate."""
        return await self._change(f"/deployments/canary/{name}/promote", change)

    async def rollback_canary(self, name: str, **change: Unpack[ChangeOptions]) -> Deployed:
        """Send all requests to the stable version; needs no database."""
        return await self._change(f"/deployments/canary/{name}/rollback", change)

    async def counterfactual(self, name: str, **rules: Unpack[CounterfactualRules]) -> Counterfactual:
        """Return how a recorded canary would have ended under other rules, by the model's name (the newest) or its id.

        `rules` are those of a canary: auto_rollback_threshold, window_seconds, min_requests, alpha, latency_tolerance,
        latency_floor_ms, warm_up_seconds, failure_margin, accuracy_margin, on_accuracy, on_output_drift, max_disagreement,
        on_disagreement, steps; the default is the canary's own rule.
        Raises NotFound if its summaries have expired (a day).
        """
        return Counterfactual.received(
            await self._http.request("POST", f"/deployments/canary/{name}/counterfactual", json=rules)
        )

    async def create_shadow(
        self,
        name: str,
        production_version: str | None,
        shadow_version: str,
        percentage: float = 100.0,
        **change: Unpack[ChangeOptions],
    ) -> Deployed:
        """Send copies of the requests to a version; callers do not get its answers.

        Raises Conflict if `production_version` is not live.
        """
        body = {
            "model": name,
            "production_version": production_version,
            "shadow_version": shadow_version,
            "percentage": percentage,
            **change,
        }
        return await self._change("/deployments/shadow", body)

    async def stop_shadow(self, name: str, **change: Unpack[ChangeOptions]) -> Deployed:
        """Stop sending copies to the shadow."""
        return await self._change(f"/deployments/shadow/{name}/stop", change)

    async def create_experiment(
        self, model: str, variants: list[dict[str, Any]], name: str = "", **change: Unpack[ChangeOptions]
    ) -> Deployed:
        """Split the users over variants: [{"name", "version", "weight"}, ...], the control first."""
        return await self._change("/experiments", {"model": model, "variants": variants, "name": name, **change})

    async def experiment(self, name: str) -> ExperimentDocument:
        """Return an experiment with its results, by the model's name or the experiment's id. Raises NotFound."""
        return ExperimentDocument.received(await self._http.request("GET", f"/experiments/{name}"))

    async def stop_experiment(self, name: str, winner: str = "", **change: Unpack[ChangeOptions]) -> Deployed:
        """End an experiment; the winner goes live, by default the control."""
        return await self._change(f"/experiments/{name}/stop", {"winner": winner, **change})

    async def deployments(self) -> list[DeploymentDocument]:
        """Return every model's current release."""
        found = await self._http.request("GET", "/deployments")
        return [DeploymentDocument.received(each) for each in found["deployments"]]

    async def history(self, name: str | None = None) -> list[EventDocument]:
        """Return the history of releases, newest first."""
        found = await self._http.request("GET", "/deployments/history", params=model_query(name))
        return [EventDocument.received(each) for each in found["events"]]

    async def _change(self, path: str, change: Mapping[str, Any]) -> Deployed:
        body = {field: value for field, value in change.items() if value is not None}
        return Deployed.received(await self._http.request("POST", path, json=body))
