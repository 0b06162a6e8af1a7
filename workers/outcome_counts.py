"""Which outcomes count for which version (a table in docs/releases.md): what would hit both versions counts alike for both."""

from __future__ import annotations

from typing import TypeAlias

from ..schemas.errors import DeadlineExceeded, InvalidInput, ModelFailed, ModelRefusedInput
from ..schemas.records import PredictionRequest
from .observer import Observer
from .versions.call import VersionCall
from .versions.results import RequestResult

Result: TypeAlias = RequestResult[VersionCall]


class OutcomeCounts:
    """Counts the outcomes of one model's requests. Each request counts once, in its first attempt."""

    def __init__(self, model: str, observer: Observer) -> None:
        self._model = model
        self._observer = observer

    def count(self, result: Result, call: VersionCall, seconds: float) -> None:
        """Count the outcome of a request that needed no fallback, `seconds` after it came."""
        if call.failure is not None or not _counts(result.request, call):
            return  # late ones are counted already
        request, outcome = result.request, result.outcome
        labels = self._model, request.trial, result.version, result.identity, seconds
        if isinstance(outcome, ModelFailed):
            self._observer.failed(*labels, outcome.detail, request.routing_key)
        elif seconds > call.timeout and isinstance(outcome, bytes | DeadlineExceeded):
            # The same time limit as for a candidate; otherwise an overload would look like the candidate's failure.
            self._observer.failed(*labels, "late", request.routing_key, late=True)
        elif isinstance(outcome, bytes):
            self._observer.answered(*labels, request.routing_key)

    def late(self, request: PredictionRequest, identity: str, call: VersionCall, message: str) -> None:
        """Count a request that the candidate has not answered within its time limit."""
        if _counts(request, call):
            labels = self._model, request.trial, request.version, identity, call.failed_after
            self._observer.failed(*labels, message, request.routing_key, late=True)

    def fell_back(
        self, result: Result, identity: str, failure: ModelFailed | ModelRefusedInput, seconds: float
    ) -> None:
        """Count a candidate's failure once stable's result is known, as stable's would be counted.

        What stable refuses is the caller's mistake and counts for neither. What stable fails on too counts as a failure, as it
        would have against stable: a request that fails everywhere, counted against stable alone, would hide a bad candidate.
        """
        request, outcome = result.request, result.outcome
        refused = isinstance(outcome, ModelRefusedInput | InvalidInput)
        # The candidate refused the inputs, and stable had no time to say whether they are at fault.
        unknown = isinstance(failure, ModelRefusedInput) and not isinstance(outcome, bytes | ModelFailed)
        if request.attempt == 1 and not refused and not unknown:
            labels = self._model, request.trial, request.version, identity, seconds
            shared = isinstance(outcome, ModelFailed)
            self._observer.failed(*labels, failure.detail, request.routing_key, shared=shared)


def _counts(request: PredictionRequest, call: VersionCall) -> bool:
    """Whether a request is evidence: not a retry, and not one whose deadline was over when it came."""
    return request.attempt == 1 and call.timeout > 0
