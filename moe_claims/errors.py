"""Errors that a user can act on: one line that names the value and the remedy."""

from typing import final

from moe_claims.printable import one_line


class MoeClaimsError(Exception):
    """Base class of all errors shown to users: a one-line message that says what was wrong and what to do.

    The message may quote file names or messages of other libraries: line breaks in them become spaces, and control
    characters are escaped (``printable.one_line``).
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


@final
class UsageError(MoeClaimsError):
    """An option, a name or a file that the user gave cannot be used."""


class ModelError(MoeClaimsError):
    """A model cannot be measured (missing shard, NaN weights, not an MoE …)."""


@final
class ModelNotFoundError(ModelError):
    """A model's name cannot be resolved: there is no such repository or revision, or it cannot be had."""


@final
class TextError(MoeClaimsError):
    """A text cannot be read, or is too short to be a sample of sequences."""


@final
class HubError(MoeClaimsError):
    """An upload to the Hugging Face hub failed."""


@final
class NotComparableError(MoeClaimsError):
    """A claim does not apply to this model; the message is the reason that the results table shows."""


@final
class NotMeasuredError(MoeClaimsError):
    """A measurement that a claim needs was skipped because it would take hours; the message says how to request it."""
