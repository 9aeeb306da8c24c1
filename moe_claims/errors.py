"""Errors that a user can act on: one line that names the value and the remedy."""

from typing import final

from moe_claims.printable import one_line


class MoeClaimsError(Exception):
    """Base class: the message is one line, says what was wrong and what to do.

    Names and messages of other libraries may hold line breaks, which become spaces, and what would steer a
    terminal, which is written out.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


@final
class UsageError(MoeClaimsError):
    """An option, a name or a file that the user gave cannot be used."""


@final
class ModelError(MoeClaimsError):
    """A model was found but cannot be measured (missing shard, NaN weights, not an MoE …)."""


@final
class TextError(MoeClaimsError):
    """A text cannot serve as a sample of sequences."""


@final
class HubError(MoeClaimsError):
    """Something was to be sent to the hub and was not."""


@final
class NotComparableError(MoeClaimsError):
    """A claim does not apply to this model; the message is the reason shown in the table."""


@final
class NotMeasuredError(MoeClaimsError):
    """What a claim needs was left out on purpose (it would take hours); the message says how to ask for it."""
