"""Judges all that a run stands for, without pytest: every claim on every model and on further evidence, and audits.

The rows are those that ``pytest claims/`` collects under the same options.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from moe_claims.errors import MoeClaimsError
from moe_claims.judge.judged import Judged
from moe_claims.judge.pack import Case, Pack
from moe_claims.judge.registry import audit
from moe_claims.report.results import audit_row, result_row
from moe_claims.run.document import Row, document_of
from moe_claims.run.session import Session

_LIVE = "live"
_KINDS = ("result", "audit", "error", "pack", "model", "corpus", "pictures")


@final
@dataclass(frozen=True, eq=False)
class Whole:
    """What a whole run found."""

    document: dict[str, Any]
    """The results document."""
    pictures: tuple[Row, ...]
    """Entries of models for ``figures.json``, in the order of the models; empty if no figures were asked for."""


def judge_all(session: Session) -> Whole:
    """Judges every claim and runs every audit of a session's packs.

    A model that cannot be opened or measured is one entry of ``errors`` in the document, and so is each test or audit
    that fails by itself; everything else is judged all the same.

    Raises:
        MoeClaimsError: there are claims on models, and none of the run's models can be opened and measured.
    """
    parts = _Parts()
    _models(session, parts)
    for pack in session.packs:
        for name in pack.audits:
            _audit(session, pack, name, parts)
        for case in _cases(session, pack):
            if case.evidence != _LIVE:
                _further(session, pack, case, parts)
    rows = {kind: parts.rows(kind) for kind in _KINDS}
    return Whole(document_of(session.settings, session.packs, rows), tuple(rows["pictures"]))


@final
class _Parts:
    """Rows by kind; equal ones, such as the card of one model for all of its tests, are kept once."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Row]] = {kind: {} for kind in _KINDS}

    def add(self, kind: str, content: Row) -> None:
        self._found[kind].setdefault(json.dumps(content, allow_nan=False), content)

    def rows(self, kind: str) -> list[Row]:
        return list(self._found[kind].values())

    def error(self, model: str | None, claim: str, error: Exception | str) -> None:
        """Adds an entry of ``errors``; an exception that is none of ours is named with its class."""
        told = isinstance(error, MoeClaimsError | str)
        message = str(error) if told else str(MoeClaimsError(f"{type(error).__name__}: {error}"))
        self.add("error", {"model": model, "claim": claim, "message": message})

    def take(self, pack: Pack, case: Case, judged: Judged) -> None:
        """Adds the row of one test with all that belongs to it, or the message that says why there is none."""
        found = judged.find(case.claim, case.variant, case.model, case.corpus)
        if isinstance(found, str):
            self.error(case.model if case.evidence == _LIVE else None, pack.key(case.test), found)
            return
        self.add("result", result_row(found))
        self.add("pack", pack.described())
        around: Sequence[tuple[str, Mapping[str, Any] | None]] = [
            ("model", judged.card),
            *(("corpus", corpus) for corpus in judged.corpora),
            ("pictures", judged.pictures),
        ]
        for kind, content in around:
            if content is not None:
                self.add(kind, content)


def _cases(session: Session, pack: Pack) -> Iterator[Case]:
    for kind in pack.kinds.values():
        for claim in kind.claims.values():
            yield from kind.cases(claim, session.settings)


def _models(session: Session, parts: _Parts) -> None:
    """Judges the claims on models, one model after the other, so that each is in memory once."""
    wanted = [(pack, [case for case in _cases(session, pack) if case.evidence == _LIVE]) for pack in session.packs]
    failures: dict[str, Exception] = {}
    judged: set[str] = set()
    for ref in session.settings.models:
        for pack, cases in wanted:
            of_model = [case for case in cases if case.model == ref.name]
            if not of_model:
                continue
            try:
                found = [pack.kinds[_LIVE].judged(pack, case, session) for case in of_model]
            except Exception as error:  # the other models are still judged
                parts.error(ref.name, "", error)
                failures[ref.name] = error
                continue
            judged.add(ref.name)
            for case, rows in zip(of_model, found, strict=True):
                parts.take(pack, case, rows)
    if failures and not judged:
        first = next(iter(failures.values()))
        if len(failures) == 1:
            raise first
        said = "; ".join(f"{name}: {error}" for name, error in failures.items())
        raise MoeClaimsError(f"none of the {len(failures)} models can be judged: {said}") from first


def _further(session: Session, pack: Pack, case: Case, parts: _Parts) -> None:
    try:
        judged = pack.kinds[case.evidence].judged(pack, case, session)
    except Exception as error:  # evidence may come from a third party; what else was judged is kept
        parts.error(None, pack.key(case.test), error)
    else:
        parts.take(pack, case, judged)


def _audit(session: Session, pack: Pack, name: str, parts: _Parts) -> None:
    try:
        found = audit(pack, name, session.settings)
    except MoeClaimsError as error:
        parts.error(None, pack.key(name), error)
    else:
        parts.add("audit", audit_row(found))
        parts.add("pack", pack.described())
