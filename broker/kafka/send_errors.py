"""Why a record was not taken: for a while, so that it is worth another try, or for good."""

from __future__ import annotations

from aiokafka import errors

from ...schemas.errors import ModelFailed, ModelMeshError, RequestTooLarge, Unavailable

TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordTooLargeError, errors.RecordListTooLargeError)
_REFUSED = (
    *TOO_LARGE,
    errors.InvalidTopicError,
    errors.UnknownTopicOrPartitionError,  # raised only after the producer has waited for it
    errors.TopicAuthorizationFailedError,
    errors.InvalidTimestampError,
    errors.InvalidRequestError,
    errors.PolicyViolationError,
    errors.UnsupportedForMessageFormatError,
    errors.IllegalArgumentError,
    # What the client itself finds wrong with a record: a partition that there is not, a key of the wrong type.
    AssertionError,
    TypeError,
    ValueError,
)


def is_permanent(error: BaseException) -> bool:
    """Whether the same record would be refused again, however often it is sent."""
    return isinstance(error, _REFUSED)


def answer_for(error: BaseException, what: str) -> ModelMeshError:
    """Return the error to answer with when `what` was refused for good; it is small, so that it fits."""
    if isinstance(error, TOO_LARGE):
        return RequestTooLarge(f"{what} is larger than a record of the log may be")
    if isinstance(error, errors.UnknownTopicOrPartitionError):
        return Unavailable(f"{what} has nowhere to go: its topic is not there")
    return ModelFailed(f"the log refused {what}: {type(error).__name__}: {str(error)[:200]}")
