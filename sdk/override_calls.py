"""The client's calls that overrule a canary's judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from ..schemas.documents.releases import Deployed
from .gateway_session import GatewaySession
from .options import OverrideOptions


class OverrideCalls:
    """Pause and resume the judge, exclude and include comparisons, hold a step: by the model's name or the canary's id.

    None of them changes who gets which version. All raise NotFound if no canary runs, IllegalTransition if there is nothing
    to do.
    """

    _http: GatewaySession

    async def pause_canary(
        self,
        name: str,
        reason: str,
        *,
        seconds: float | None = None,
        until: float | None = None,
        **change: Unpack[OverrideOptions],
    ) -> Deployed:
        """Let the judge take neither steps nor rollbacks by itself.

        It resumes by itself after `seconds`, or at `until` (seconds since the epoch); without either, by `resume_canary`.
        """
        return await self._overrule(name, "pause", {"reason": reason, "seconds": seconds, "until": until, **change})

    async def resume_canary(self, name: str, reason: str = "", **change: Unpack[OverrideOptions]) -> Deployed:
        """Let the judge decide again, by all that it has counted meanwhile."""
        return await self._overrule(name, "resume", {"reason": reason, **change})

    async def exclude_comparison(
        self, name: str, comparison: str, reason: str, **change: Unpack[OverrideOptions]
    ) -> Deployed:
        """Let a comparison ("p99"), or the rule "threshold" or "drift", decide nothing. It is still shown."""
        return await self._overrule(name, "exclude", {"comparison": comparison, "reason": reason, **change})

    async def include_comparison(
        self, name: str, comparison: str, reason: str = "", **change: Unpack[OverrideOptions]
    ) -> Deployed:
        """Let an excluded comparison decide again, by all that it has counted meanwhile."""
        return await self._overrule(name, "include", {"comparison": comparison, "reason": reason, **change})

    async def hold_canary(
        self,
        name: str,
        reason: str,
        *,
        seconds: float | None = None,
        until: float | None = None,
        **change: Unpack[OverrideOptions],
    ) -> Deployed:
        """Let the judge leave the present step no earlier than `seconds` from now, or than `until` (seconds since the epoch).

        0 seconds end a hold before its time. The judge still rolls back.
        """
        return await self._overrule(name, "hold", {"reason": reason, "seconds": seconds, "until": until, **change})

    async def _overrule(self, name: str, what: str, change: Mapping[str, Any]) -> Deployed:
        body = {field: value for field, value in change.items() if value is not None}
        return Deployed.received(await self._http.request("POST", f"/deployments/canary/{name}/{what}", json=body))
