"""Compares two results documents: changed verdicts, differences of effects, and rows that cannot be compared.

Functions are pure and return frozen values. Two rows are a pair if claim, variant, evidence, model and text are the
same. Models with different names, such as two checkpoints, can be paired explicitly.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from moe_claims.compare.provenance import Dependence, Texts, depends, other_text, other_tokens, texts_of
from moe_claims.errors import UsageError
from moe_claims.judge.registry import record
from moe_claims.stats.mover import Difference, difference
from moe_claims.types import Interval

Row = Mapping[str, Any]
Key = tuple[str, str, str | None, str, str | None]
Change = Literal["better", "worse", "same", "other", "void"]

SUPPORT = {"replicated": 3, "direction-only": 2, "inconclusive": 1, "absent": 1, "contradicted": 0}
"""Verdict → support for the claim. Inconclusive (unknown) and absent (no effect) have the same support, since a
narrower interval alone turns the first into the second. ``not-applicable`` has none."""


def change_of(before: str, after: str) -> Change:
    """The change between two verdicts: better or worse by ``SUPPORT``, or other if the support is the same."""
    if before == after:
        return "same"
    if before not in SUPPORT or after not in SUPPORT or SUPPORT[before] == SUPPORT[after]:
        return "other"
    return "better" if SUPPORT[after] > SUPPORT[before] else "worse"


@final
@dataclass(frozen=True, eq=False)
class Pair:
    """The rows of one test in both files."""

    before: Row
    after: Row
    void: str | None
    """Reason why the two rows cannot be compared; None if they can."""
    notes: tuple[str, ...]
    """Notes that a reader of the comparison needs."""
    apart: Difference | None
    """Later minus earlier effect; None if a row lacks effect or interval, or the rows cannot be compared."""

    @property
    def change(self) -> Change:
        """The change of the verdict; ``void`` if the rows cannot be compared."""
        return "void" if self.void else change_of(self.before["verdict"], self.after["verdict"])

    @property
    def same_numbers(self) -> bool:
        """Whether effect and interval are exactly equal."""
        return bool(self.before["effect"] == self.after["effect"])


@final
@dataclass(frozen=True)
class Outcome:
    """An audit whose outcome differs between the files; None stands for a file without it."""

    id: str
    before: str | None
    after: str | None


@final
@dataclass(frozen=True, eq=False)
class Comparison:
    """The comparison of a later results file with an earlier one."""

    depends: tuple[Dependence, ...]
    pairs: tuple[Pair, ...]
    new: tuple[Row, ...]
    """Rows that only the later file has."""
    missing: tuple[Row, ...]
    """Rows that only the earlier file has."""
    audits: tuple[Outcome, ...]
    new_errors: tuple[Row, ...]
    gone_errors: tuple[Row, ...]
    alone_before: tuple[str, ...]
    """Models that were measured only for the earlier file."""
    alone_after: tuple[str, ...]
    """Models that were measured only for the later file, with their names there."""

    def count(self, change: Change) -> int:
        """Number of pairs with this change."""
        return sum(pair.change == change for pair in self.pairs)

    @property
    def worse(self) -> bool:
        """Whether a verdict supports its claim less than before, or there is a new error."""
        return self.count("worse") > 0 or bool(self.new_errors)

    @property
    def changed(self) -> bool:
        """Whether any verdict, row, text, outcome of an audit or error differs; effects alone do not count."""
        rows = self.new or self.missing or self.audits or self.new_errors or self.gone_errors
        return bool(rows) or any(pair.change != "same" for pair in self.pairs)

    @property
    def vacuous(self) -> bool:
        """Whether the earlier file has measured models but none of their rows can be compared."""
        live = [row for row in self.missing if row["evidence"] == "live"]
        pairs = [pair for pair in self.pairs if pair.before["evidence"] == "live"]
        return bool(live or pairs) and all(pair.void for pair in pairs)


def compared(before: Row, after: Row, names: Mapping[str, str] | None = None) -> Comparison:
    """Compares two results documents.

    Args:
        before: the earlier document, valid under the schema.
        after: the later document, likewise.
        names: model of the later document → model of the earlier one that it is compared with.

    Raises:
        UsageError: two models of the later document would be compared with the same one, or a file has a row twice.
    """
    renamed = dict(names or {})
    measured = measured_models(before), measured_models(after)
    _check_names(measured[1], renamed)
    earlier, later = _by_key(before["results"], {}), _by_key(after["results"], renamed)
    texts = texts_of(before, {}), texts_of(after, renamed)
    errors = {(e["model"], e["claim"]): e for e in before["errors"]}
    new_errors = {(renamed.get(e["model"], e["model"]), e["claim"]): e for e in after["errors"]}
    outcomes, new_outcomes = (
        {f"{a['pack']}/{a['id']}": a["outcome"] for a in found["audits"]} for found in (before, after)
    )
    compared_with = {model: renamed.get(model, model) for model in measured[1]}
    return Comparison(
        depends=depends(before, after, renamed),
        pairs=tuple(_pair(row, later[key], key, *texts) for key, row in earlier.items() if key in later),
        new=tuple(row for key, row in later.items() if key not in earlier),
        missing=tuple(row for key, row in earlier.items() if key not in later),
        audits=tuple(
            Outcome(audit, outcomes.get(audit), new_outcomes.get(audit))
            for audit in dict.fromkeys([*outcomes, *new_outcomes])
            if outcomes.get(audit) != new_outcomes.get(audit)
        ),
        new_errors=tuple(error for key, error in new_errors.items() if key not in errors),
        gone_errors=tuple(error for key, error in errors.items() if key not in new_errors),
        alone_before=tuple(model for model in measured[0] if model not in compared_with.values()),
        alone_after=tuple(model for model, name in compared_with.items() if name not in measured[0]),
    )


def pairing(given: Sequence[str], before: Row, after: Iterable[Row]) -> dict[str, str]:
    """Parses explicit pairs of models: name in a later document → name in the earlier one.

    Args:
        given: strings ``OLD=NEW``; names may contain ``=`` themselves, as those of synthetic models do.
        before: the earlier document.
        after: the later documents.

    Raises:
        UsageError: a string is not a model of the earlier and a model of a later document with ``=`` between them.
    """
    old, new = measured_models(before), [model for found in after for model in measured_models(found)]
    names: dict[str, str] = {}
    for pair in given:
        cuts = [index for index, sign in enumerate(pair) if sign == "="]
        fits = [(pair[:cut], pair[cut + 1 :]) for cut in cuts if pair[:cut] in old and pair[cut + 1 :] in new]
        if not fits:
            raise UsageError(
                f"--models '{pair}': give OLD=NEW, where OLD is one of {_listed(old)} and NEW is one of {_listed(new)}"
            )
        one, other = fits[0]
        if names.setdefault(other, one) != one:
            raise UsageError(f"--models compares '{other}' with '{names[other]}' and with '{one}': give one of them")
    return names


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names)) or "none"


def measured_models(document: Row) -> list[str]:
    """Names of the models that were measured or whose measurement failed."""
    live = [row["model"] for row in document["results"] if row["evidence"] == "live"]
    return list(dict.fromkeys([*live, *(error["model"] for error in document["errors"] if error["model"])]))


def _check_names(models: Sequence[str], renamed: Mapping[str, str]) -> None:
    taken: dict[str, str] = {}
    for model in models:
        name = renamed.get(model, model)
        if name in taken:
            raise UsageError(f"both '{taken[name]}' and '{model}' would be compared with '{name}': leave one out")
        taken[name] = model


def _by_key(rows: Iterable[Row], renamed: Mapping[str, str]) -> dict[Key, Row]:
    found: dict[Key, Row] = {}
    for row in rows:
        model = renamed.get(row["model"], row["model"]) if row["evidence"] == "live" else row["model"]
        key = (row["evidence"], row["claim"], row["variant"], model, row["corpus"])
        if key in found:
            raise UsageError(f"a results file holds the row {' · '.join(part for part in key if part)} twice")
        found[key] = row
    return found


def _pair(before: Row, after: Row, key: Key, texts_before: Texts, texts_after: Texts) -> Pair:
    corpus, effects = key[-1], (before["effect"], after["effect"])
    earlier, later = texts_before.get(key[3], {}), texts_after.get(key[3], {})
    void = _void(before, after, key, earlier, later)
    notes = []
    if void is None and corpus is not None and other_tokens(earlier.get(corpus), later.get(corpus)):
        notes.append("the same text, read as other tokens")
    bars = [effect["smallest_of_interest"] for effect in effects]
    if bars[0] != bars[1]:
        notes.append(f"the smallest effect of interest was {bars[0]:g} and is {bars[1]:g}")
    apart = None
    if void is None:
        try:
            apart = _apart(*effects)
        except ValueError as error:
            notes.append(f"no interval of the difference: {error}")
    return Pair(before, after, void, tuple(notes), apart)


def _void(before: Row, after: Row, key: Key, earlier: Mapping[str, Row], later: Mapping[str, Row]) -> str | None:
    """Reason why two rows cannot be compared; None if they can."""
    evidence, claim, variant, _, corpus = key
    versions = before["claim_version"], after["claim_version"]
    if versions[0] != versions[1]:
        return f"version {versions[0]} of the claim then, {versions[1]} now: its estimand or null has changed"
    estimands = before["effect"]["name"], after["effect"]["name"]
    if estimands[0] != estimands[1]:
        return f"another effect: '{estimands[0]}' then, '{estimands[1]}' now"
    if evidence != "live":
        return None
    if corpus is not None:
        return other_text(earlier.get(corpus), later.get(corpus))
    known = record(claim, evidence)
    if known is None or known.needs_of(variant) != "texts":
        return None
    found = (other_text(earlier.get(name), later.get(name)) for name in (*earlier, *later))
    return next((why for why in found if why), None)


def _apart(before: Row, after: Row) -> Difference | None:
    needed = [effect[name] for effect in (before, after) for name in ("value", "ci_low", "ci_high", "level")]
    if any(number is None for number in needed):
        return None
    return difference(before["value"], _interval(before), after["value"], _interval(after))


def _interval(effect: Row) -> Interval:
    return Interval(effect["ci_low"], effect["ci_high"], effect["level"], effect["ci_method"] or "")
