"""kafka-python's exceptions stop here and become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kafka import errors

from workers.errors import (
    BrokerUnavailableError,
    FencedError,
    OutputsLostError,
    SettingsError,
    StaleGenerationError,
    TopicError,
    TransactionAbortedError,
    VigieError,
)
from workers.kafka.kafka_python.access import Access

_REFUSED: Final = (
    errors.AuthorizationError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    errors.InvalidGroupIdError,
    errors.InvalidSessionTimeoutError,
    errors.UnsupportedVersionError,
    errors.SecurityDisabledError,
)
_MISSING: Final = (errors.UnknownTopicOrPartitionError, errors.InvalidTopicError)


def rejection(error: BaseException, access: Access) -> VigieError | None:
    """The error to end with if the broker rejects us for good, else None."""
    for cause in (error, *error.args):  # a producer wraps what it failed of
        # What gives us tokens has said it; without kafka-python's part.
        said = SettingsError(str(cause)) if isinstance(cause, SettingsError) else None
        if isinstance(cause, BaseException) and (denied := said or access.denial(cause)):
            return denied
    # A fenced *producer* is no such case: its transaction may have timed out. It is thrown away.
    if isinstance(error, errors.FencedInstanceIdError):
        return FencedError(f"Another client runs under our identity ({_said(error)}).")
    if isinstance(error, errors.KafkaConfigurationError):
        return SettingsError(f"kafka-python cannot use kafka.client: {_said(error)}.")
    if isinstance(error, errors.InconsistentGroupProtocolError):
        return SettingsError(
            "Other members of the group share the partitions in another way: use the same "
            "kafka.assignment for all, stop those that differ, and give those that were killed "
            "the session timeout to be forgotten."
        )
    if isinstance(error, _REFUSED):
        return SettingsError(
            f"The broker rejects {access.principal}: {_said(error)}. Check kafka.client (security, "
            "group, credentials) and the rights of this principal."
        )
    return None


@contextmanager
def asking(what: str, access: Access) -> Iterator[None]:
    """Map the errors of a question to the broker; `access` is who asks, and what that needs.

    Raises:
        BrokerUnavailableError: no answer; it can be asked again.
        SettingsError, TopicError, FencedError: an answer that will not change by itself.
    """
    try:
        yield
    except _MISSING as error:
        raise TopicError(
            f"{what}: the broker has no such topic or partition. Create it with "
            "vigie topics create."
        ) from error
    except BrokerUnavailableError:  # what gives us tokens, and the error says so
        raise
    except errors.KafkaError as error:
        if (rejected := rejection(error, access)) is not None:
            raise rejected from error
        raise BrokerUnavailableError(
            f"{what}: the broker does not answer ({_said(error)}). Check that it runs and that the "
            "address is right."
        ) from error
    except OSError as error:
        raise BrokerUnavailableError(f"{what}: {error}") from error


@contextmanager
def committing(access: Access, what: str = "The offsets were not committed") -> Iterator[None]:
    """Map the errors of an offset commit; ``what`` is said when it failed.

    Raises:
        StaleGenerationError: it did not happen; the group has moved on.
        TransactionAbortedError: it did not happen, or it cannot be known: rewind.
        SettingsError, FencedError: it never will.
    """
    try:
        yield
    except (errors.KafkaError, OSError) as error:
        if "OffsetMetadataTooLarge" in repr(error):  # transactions wrap it
            raise SettingsError(
                "The metadata of a commit is larger than the broker takes "
                "(offset.metadata.max.bytes): raise that, or keep less history."
            ) from error
        if (rejected := rejection(error, access)) is not None:
            raise rejected from error
        if isinstance(error, errors.CommitFailedError | errors.RebalanceInProgressError):
            raise StaleGenerationError(f"{what} ({_said(error)}).") from error
        raise TransactionAbortedError(f"{what} ({_said(error)}).") from error


def delivery_error(error: BaseException, access: Access, *, failed: int, sent: int) -> VigieError:
    """What to raise when outputs of a unit were not delivered."""
    return rejection(error, access) or OutputsLostError(
        f"{failed} of {sent} outputs did not reach the broker ({_said(error)})."
    )


def _said(error: BaseException) -> str:
    """Name and first line; kafka-python puts no credentials there."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
