"""The tree of errors: each has an HTTP status, a stable code, and its docstring as default message.

An error travels as an HTTP problem document (RFC 9457), as an error reply over Kafka, and as a typed exception in the SDK.
`problem` and `from_problem` convert.
"""

from __future__ import annotations

from .problem import ModelMeshError as ModelMeshError
from .problem import from_problem as from_problem


class MalformedRequest(ModelMeshError):
    """The request cannot be read."""

    status, code = 400, "malformed_request"


class MalformedRecord(ModelMeshError):
    """The record's headers or value cannot be read."""

    status, code = 400, "malformed_record"


class PartFailed(ModelMeshError):
    """A part of this process failed, so the process ends."""

    status, code = 500, "part_failed"


class ReplayFailed(ModelMeshError):
    """The replay ended with an error."""

    status, code = 500, "replay_failed"


class Unauthorized(ModelMeshError):
    """This needs a valid API key or token."""

    status, code = 401, "unauthorized"

    def __init__(
        self, detail: str | None = None, *, field: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(detail, field=field, retry_after=retry_after)
        self.headers = {"WWW-Authenticate": 'Bearer realm="modelmesh"'}


class Forbidden(ModelMeshError):
    """The caller may not do this."""

    status, code = 403, "forbidden"


class ForeignPage(ModelMeshError):
    """A web page of another origin sent this request; its origin is not allowed."""

    status, code = 403, "foreign_page"


class WrongHost(ModelMeshError):
    """The request names a host that is not this service."""

    status, code = 421, "wrong_host"


class RateLimited(ModelMeshError):
    """The caller sends more requests than its rate limit allows."""

    status, code = 429, "rate_limited"

    def __init__(
        self,
        detail: str | None = None,
        *,
        field: str | None = None,
        retry_after: float | None = 1.0,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail, field=field, retry_after=retry_after)
        self.headers = headers or {}


class NotFound(ModelMeshError):
    """There is nothing by that name."""

    status, code = 404, "not_found"


class ModelNotFound(NotFound):
    """There is no model by that name."""

    code = "model_not_found"


class VersionNotFound(NotFound):
    """The model has no such version."""

    code = "version_not_found"


class Conflict(ModelMeshError):
    """This conflicts with the current state."""

    status, code = 409, "conflict"


class SeveralRequests(Conflict):
    """Several requests have this id: say which."""

    code = "several_requests"


class VersionExists(Conflict):
    """The version exists with other bytes; versions are immutable."""

    code = "version_exists"


class VersionInUse(Conflict):
    """The version is part of a release and cannot be deleted."""

    code = "version_in_use"


class StaleGeneration(Conflict):
    """The release has moved on since the generation this was based on."""

    code = "stale_generation"


class SignatureDiffers(Conflict):
    """The two versions have different signatures."""

    code = "signature_differs"


class IllegalTransition(Conflict):
    """The release cannot do this in its present state."""

    code = "illegal_transition"


class UnsupportedEncoding(ModelMeshError):
    """The body's content encoding is not supported."""

    status, code = 415, "unsupported_encoding"


class BodyTooSlow(ModelMeshError):
    """The request's body did not arrive in time."""

    status, code = 408, "body_too_slow"


class UnsupportedMediaType(ModelMeshError):
    """The body's media type is not supported."""

    status, code = 415, "unsupported_media_type"


class RequestTooLarge(ModelMeshError):
    """The request is larger than this server accepts."""

    status, code = 413, "too_large"


class InvalidInput(ModelMeshError):
    """The inputs do not fit the model's signature."""

    status, code = 422, "invalid_input"


class ModelRefusedInput(ModelMeshError):
    """The model itself refuses these inputs; its error gives the reason."""

    status, code = 422, "model_refused_input"


class RegistrationRefused(ModelMeshError):
    """The model was refused because it did not pass its checks."""

    status, code = 422, "registration_refused"


class PickleRefused(RegistrationRefused):
    """The file may contain code, which this deployment does not allow."""

    code = "pickle_refused"


class PoisonousRequest(ModelMeshError):
    """The request was dead-lettered: its worker died on it twice."""

    code = "poisonous_request"


class ModelFailed(ModelMeshError):
    """The model raised an error on these inputs."""

    code = "model_failed"


class Unavailable(ModelMeshError):
    """The service cannot do this at the moment; try again."""

    status, code = 503, "unavailable"

    def __init__(self, detail: str | None = None, *, field: str | None = None, retry_after: float | None = 1.0) -> None:
        super().__init__(detail, field=field, retry_after=retry_after)


class NoWorker(Unavailable):
    """No live worker serves this model."""

    code = "no_worker"


class Overloaded(Unavailable):
    """There are too many requests to answer this one in time."""

    code = "overloaded"


class CircuitOpen(Unavailable):
    """The model fails too often: its circuit breaker is open."""

    code = "circuit_open"


class ShadowShed(Unavailable):
    """The worker had no time for this shadow copy."""

    code = "shadow_shed"


class ControlPlaneUnavailable(Unavailable):
    """The control plane did not answer; predictions go on, deployments wait."""

    code = "control_plane_unavailable"


class BrokerUnavailable(Unavailable):
    """Kafka cannot be reached."""

    code = "broker_unavailable"


class DeadlineExceeded(ModelMeshError):
    """The deadline passed before there was an answer."""

    status, code = 504, "deadline_exceeded"


class SetupError(ModelMeshError):
    """This machine lacks something that ModelMesh needs."""

    code = "setup"
