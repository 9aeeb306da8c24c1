"""What is known to be wrong before anything is measured: names that stand for nothing, and broken models."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from moe_claims import texts
from moe_claims.errors import ModelNotFoundError, MoeClaimsError, NotMeasuredError, TextError, UsageError
from moe_claims.measure.matching import layers_to_match
from moe_claims.models.device import device_of
from moe_claims.run.session import Session


@final
@dataclass(frozen=True)
class Preflight:
    """What was found before measuring, a line each."""

    mistakes: tuple[str, ...]
    """Names, texts, fields, layers and devices that cannot be resolved: the run must not start."""
    broken: tuple[tuple[str, str], ...]
    """(Model, message) of models that were found and cannot be measured: the others are judged."""


def preflight(session: Session, models: Iterable[str], corpora: Iterable[str]) -> Preflight:
    """Resolves and opens everything that a run needs; measures nothing.

    Args:
        session: the run; it keeps the models that are opened here.
        models: names of the run's models that are to be judged.
        corpora: names of the texts that they are to be run on.
    """
    settings = session.settings
    mistakes: list[str] = []
    broken: list[tuple[str, str]] = []
    try:
        device_of(settings.device)
    except UsageError as error:
        mistakes.append(str(error))
    for name in corpora:
        try:
            texts.load(name)
        except (UsageError, TextError) as error:
            mistakes.append(str(error))
    for name in models:
        try:
            opened = session.opened(name)
        except (UsageError, ModelNotFoundError) as error:
            mistakes.append(str(error))
            continue
        except MoeClaimsError as error:
            broken.append((name, str(error)))
            continue
        if settings.layers is not None:
            try:
                layers_to_match(opened.checkpoint, settings.layers)
            except UsageError as error:
                mistakes.append(str(error))
            except NotMeasuredError:
                raise AssertionError("layers that were asked for are always matched") from None
    mistakes += [str(error) for error in session.compared_with() if _unresolved(error)]
    return Preflight(tuple(dict.fromkeys(mistakes)), tuple(broken))


def _unresolved(error: MoeClaimsError) -> bool:
    return isinstance(error, UsageError | ModelNotFoundError)
