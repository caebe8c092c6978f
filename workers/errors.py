"""One tree of errors, sorted by what the caller does next.

The pure packages (``detector``, ``schemas``) raise ``ValueError``; the shell maps it here, with
``from``. What a command ends with when an error reaches it stands in `workers.cli.exits`.
"""

from __future__ import annotations

__all__ = [
    "BrokerUnavailableError",
    "ClusterError",
    "ClusterLostError",
    "CorruptLogError",
    "DeadLetterLimitError",
    "FencedError",
    "MissingCodecError",
    "OutputsLostError",
    "PoisonRecordError",
    "ProvisioningError",
    "RegistryUnavailableError",
    "RunEndedError",
    "SettingsError",
    "StaleGenerationError",
    "StoppedError",
    "TopicError",
    "TransactionAbortedError",
    "VigieError",
]


class VigieError(Exception):
    """Anything that Vigie raises on purpose. The message says what to do."""


class PoisonRecordError(VigieError):
    """A record that can never be processed: dead-letter it and go on."""


class TransactionAbortedError(VigieError):
    """The unit of work did not happen: go back to the committed offsets and do it again.

    Raised for a commit under an old generation, a lost partition, or a failed offset commit.
    Outputs may already be visible under at-least-once; their ids make a repeat harmless.
    """


class StaleGenerationError(TransactionAbortedError):
    """The group has moved on since the poll, so nothing was committed, for sure.

    What is left of the unit can be sent again under the next generation: no need to go back.
    """


class OutputsLostError(TransactionAbortedError):
    """At least one output did not reach the broker: rewind, never commit past it."""


class RunEndedError(VigieError):
    """Ends the run, and no restart helps: somebody has to look first."""


class FencedError(RunEndedError):
    """Somebody else goes by the name of this worker: two runs share a group and an instance name.

    Or, once, a broker that went down and remembers the worker before this one.
    """


class MissingCodecError(RunEndedError):
    """Records are compressed in a way that needs a package more: install the one it names."""


class BrokerUnavailableError(VigieError):
    """The broker does not answer within the time allowed: check the address, start it, retry."""


class RegistryUnavailableError(VigieError):
    """No schema registry answers within the time allowed: what it explains cannot be read yet."""


class ClusterError(VigieError):
    """The cluster cannot be reached, or has no room for the workers."""


class ClusterLostError(ClusterError):
    """The cluster was there and is gone: drain what still answers, then end."""


class CorruptLogError(VigieError):
    """The log holds bytes that are no records: nobody can read on there until it is mended."""


class StoppedError(VigieError):
    """The caller asked to stop while we waited: wind down, nothing is wrong."""


class SettingsError(VigieError):
    """A wrong setting: exit and stay down until somebody corrects it."""


class TopicError(SettingsError):
    """A topic is missing, or is not as the settings want it: create or correct it."""


class ProvisioningError(VigieError):
    """Java or Kafka could not be fetched, checked or started on this machine."""


class DeadLetterLimitError(RunEndedError):
    """Too many records cannot be read: mend the producer or the settings, or raise the limit."""
