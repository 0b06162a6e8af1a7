"""Errors of sending a record: temporary ones, which are retried, and permanent ones."""

from __future__ import annotations

from aiokafka import errors

from ...schemas.errors import ModelFailed, ModelMeshError, RequestTooLarge, Unavailable

TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordTooLargeError, errors.RecordListTooLargeError)
_PERMANENT = (
    *TOO_LARGE,
    errors.InvalidTopicError,
    errors.UnknownTopicOrPartitionError,  # raised only after the producer has waited for it
    errors.TopicAuthorizationFailedError,
    errors.InvalidTimestampError,
    errors.InvalidRequestError,
    errors.PolicyViolationError,
    errors.UnsupportedForMessageFormatError,
    errors.IllegalArgumentError,
    # Raised by the client itself, for an unknown partition or a key of the wrong type.
    AssertionError,
    TypeError,
    ValueError,
)


def is_permanent(error: BaseException) -> bool:
    """Whether the record would be refused again on a retry."""
    return isinstance(error, _PERMANENT)


def answer_for(error: BaseException, what: str) -> ModelMeshError:
    """Return the error reply for `what`, which was permanently refused. It is small, so that it fits a record."""
    if isinstance(error, TOO_LARGE):
        return RequestTooLarge(f"{what} exceeds Kafka's limit of a record")
    if isinstance(error, errors.UnknownTopicOrPartitionError):
        return Unavailable(f"{what} could not be sent: its topic does not exist")
    return ModelFailed(f"Kafka refused {what}: {type(error).__name__}: {str(error)[:200]}")
