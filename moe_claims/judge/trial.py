"""From measurements to trials: every test of a pack's claims estimated on one model, and not yet judged."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import NamedTuple, final
from zlib import crc32

import numpy as np

from moe_claims._util.progress import track
from moe_claims.errors import MoeClaimsError
from moe_claims.judge.claim import Claim, key_of
from moe_claims.judge.finding_check import NotAFindingError, checked
from moe_claims.judge.pack import Pack
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import RoutedMeasurement
from moe_claims.types import Finding

NOT_ASKED = MoeClaimsError("this run did not ask for this test")
"""Outcome of a test that a run leaves out. It has no row, and counts as p = 1 in the correction of its family, so that
adjusted p-values are never smaller than those of the whole run."""


class Asked(NamedTuple):
    """A test of a model that a run asks for."""

    claim: str
    variant: str | None
    corpus: str | None
    """Name of the text; None for a claim that is not tested text by text."""


@final
@dataclass(frozen=True)
class Trial:
    """One variant of a claim, estimated but not yet judged."""

    claim: Claim
    variant: str | None
    corpus: str | None
    """Name of the text; None for a claim on weights alone."""
    outcome: Finding | MoeClaimsError
    """The finding, or the error that explains why there is none; ``NOT_ASKED`` if the run did not ask for the test."""
    sequences: int | None = None
    """Number of sequences that the model was run on, for a claim on one text."""
    model: str = ""
    """Name of the model, for the row."""
    group: str = ""
    """Trials with the same family and the same group are corrected together."""

    @property
    def key(self) -> str:
        """``claim[variant]``."""
        return key_of(self.claim.id, self.variant)

    @property
    def finding(self) -> Finding | None:
        """The finding, or None."""
        return self.outcome if isinstance(self.outcome, Finding) else None


def try_all(
    pack: Pack,
    measured: Mapping[str, Measured],
    seed: int,
    claims: Iterable[Claim] | None = None,
    *,
    model: str = "",
    asked: Collection[Asked] | None = None,
) -> list[Trial]:
    """Estimates every claim of a pack, or the given claims, on every text; claims on weights once.

    Each test has its own generator, seeded by the run's seed and the test's name, so that
    its numbers depend neither on the other tests nor on their order.

    Args:
        pack: pack that the claims belong to.
        measured: measurements by text; the weights are the same in all of them.
        seed: seed of the run.
        claims: some of the pack's claims; None for all on models.
        model: name of the model, for the rows.
        asked: the tests to estimate; None for all. The others are listed as not asked for, and what they alone need is
            not measured.
    """
    protected = {text: given.protected() for text, given in measured.items()}
    trials = []
    first = next(iter(protected.values()))
    for claim in track(tuple(pack.claims if claims is None else claims), "testing", unit="claims"):
        for variant in claim.variants:
            texts: list[tuple[str | None, Measured]] = [(None, first)]
            if claim.needs_of(variant) == "text":
                texts = list(protected.items())
            for corpus, given in texts:
                record = claim.of(variant)
                if asked is not None and Asked(claim.id, variant, corpus) not in asked:
                    trials.append(Trial(record, variant, corpus, NOT_ASKED, None, model))
                    continue
                rng = np.random.default_rng((seed, crc32(pack.seed_name(claim.id, variant).encode())))
                outcome = _estimated(claim, variant, given, rng)
                sequences = None
                if corpus is not None and isinstance(given.text, RoutedMeasurement):
                    sequences = len(given.text.lengths)
                trials.append(Trial(record, variant, corpus, outcome, sequences, model))
    return trials


def _estimated(
    claim: Claim, variant: str | None, measured: Measured, rng: np.random.Generator
) -> Finding | MoeClaimsError:
    fault = "this is a fault of the estimator, not of the model"
    try:
        return checked(claim.estimator(variant, measured, rng))
    except MoeClaimsError as error:  # unusable input of one claim must not stop the others
        return error
    except NotAFindingError as error:  # nor must a finding that cannot be,
        return MoeClaimsError(f"{claim.code} {error}; {fault}")
    except (Exception, SystemExit) as error:  # or a bug in an estimator, which may come from a third party
        frames = extract_tb(error.__traceback__)
        own = [frame for frame in frames if frame.name == claim.code.rpartition(":")[2]]
        at = (own or frames)[-1]
        where = f"line {at.lineno} of {Path(at.filename).name}"
        return MoeClaimsError(f"{claim.code} raised {type(error).__name__}: {error} ({where}); {fault}")
