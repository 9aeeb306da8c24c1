"""Claims on expert loads, tested on published counts of the real models (paper, appendix I).

The counts cover about 205,000 tokens per domain of text, without division into sequences. Tokens of one text are
not independent, so the unit of all intervals and p-values is the domain. Three layers of each model were
counted (0, 7 and 15); conclusions are about these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from moe_claims.judge.claim import Claim
from moe_claims.judge.combined_null import of_largest_p
from moe_claims.judge.evaluate import rows_of
from moe_claims.judge.judged import Judged
from moe_claims.judge.pack import Case, Pack, Session
from moe_claims.judge.trial import Trial
from moe_claims.packs.look_into_moes.paper import published, routing_counts
from moe_claims.settings import Settings
from moe_claims.stats.domain_tests import (
    Loads,
    domain_distances,
    kept_interval,
    kept_part,
    label_test,
    normalised_entropy,
    same_label_test,
    sign_null,
    sign_p,
    t_interval,
    t_null,
    t_test,
    total_variation,
)
from moe_claims.stats.permutation import test_against
from moe_claims.types import Finding

MIXTRAL = "mistralai/Mixtral-8x7B-v0.1"
OLMOE = "allenai/OLMoE-1B-7B-0924"
TUNED = {"against SFT": f"{OLMOE}-SFT", "against Instruct": f"{OLMOE}-Instruct"}
TUNING_TEXT = "tulu"
"""The only domain that was counted for both the base and the tuned models."""
LAYERS = ("0", "7", "15")
_ANY_LABEL = "experts relabelled in every layer, alike in all domains"


def trials(counts: Mapping[str, Any] | None = None) -> list[Trial]:
    """Trials of all claims on loads; those on one model are corrected together.

    Args:
        counts: counts in the form that ``paper.routing_counts`` returns, which is the default.

    Raises:
        ValueError: base and tuned model were counted on different numbers of choices.
    """
    models = (routing_counts() if counts is None else counts)["models"]
    domains = {model: list(facts["domains"]) for model, facts in models.items()}
    # The same domains for both models, so that their results can be compared.
    shared = [domain for domain in domains[MIXTRAL] if domain in domains[OLMOE]]
    found = []
    for model in (MIXTRAL, OLMOE):
        load = loads(models[model], shared)
        found += [
            _trial(BALANCED_ROUTING, BALANCED_ROUTING.variants[layer], model, balanced_routing(shared, load, layer))
            for layer in range(len(LAYERS))
        ]
    special = special_expert_chosen_less(loads(models[MIXTRAL], domains[MIXTRAL]))
    found.append(_trial(SPECIAL_EXPERT_CHOSEN_LESS, None, MIXTRAL, special))
    base, tuning_text = loads(models[OLMOE], domains[OLMOE]), domains[OLMOE].index(TUNING_TEXT)
    for variant, tuned in TUNED.items():
        _check_same_text(models[OLMOE], models[tuned])
        kept = tuning_keeps_routing(base, loads(models[tuned], [TUNING_TEXT])[0], tuning_text)
        found.append(_trial(TUNING_KEEPS_ROUTING, variant, OLMOE, kept))
    return found


def _trial(claim: Claim, variant: str | None, model: str, finding: Finding) -> Trial:
    return Trial(claim, variant, "public-counts", finding, model=model, group=model)


def loads(model: Mapping[str, Any], domains: Sequence[str]) -> Loads:
    """Loads of one model on the named domains, shape (D, layers, E)."""
    by_domain = [model["domains"][domain]["topk"] for domain in domains]
    counts = np.array([[layers[layer] for layer in LAYERS] for layers in by_domain], dtype=np.float64)
    shares: Loads = counts / counts.sum(axis=-1, keepdims=True)
    return shares


def balanced_routing(domains: Sequence[str], load: Loads, layer: int) -> Finding:
    """The finding of ``balanced-routing`` on one layer (its index in ``LAYERS``); ``load`` is (D, layers, E)."""
    entropy = {name: normalised_entropy(domain) for name, domain in zip(domains, load[:, layer], strict=True)}
    values = list(entropy.values())
    over_even = load[:, layer] * load.shape[-1]
    above = t_test(values, BALANCED_ROUTING.smallest)
    return Finding(
        effect=float(np.mean(values)),
        interval=t_interval(values, 0.95),
        equivalence=t_interval(values, 0.90),
        p_value=above,
        p_opposite=1.0 - above,
        smallest_p=0.0,
        n_units=len(values),
        details={f"entropy {name}": value for name, value in entropy.items()}
        | {
            "lowest_entropy": min(values),
            "largest_load_over_even_share": float(over_even.max()),
            "smallest_load_over_even_share": float(over_even.min()),
        },
        null_distribution=t_null(values, BALANCED_ROUTING.smallest),
        summary=f"Normalised entropy of loads {np.mean(values):.3f} over {len(values)} domains, "
        f"{min(values):.3f} in the lowest",
    )


def special_expert_chosen_less(load: Loads) -> Finding:
    """The finding of ``special-expert-chosen-less``, for Mixtral's loads (D, layers, E) and the paper's special expert.

    Two explanations by chance must be ruled out, so the p-value is the larger of two:

    - **The text.** Sign test over domains of the expert's load, averaged over layers, against the even
      share. Its smallest p is 2**-D.
    - **The label.** Some expert is always below the even share, similarly in every domain, because the
      model is the same. So experts are relabelled within a layer with ONE relabelling for all domains.
      Separate relabellings of each domain × layer cell would count one static pattern once per domain
      and give a p that is far too small. Layers are relabelled independently. If an expert's index meant the
      same in every layer, that p would still be too small; the p of one relabelling for all layers, at
      least 1/E, is therefore in the details.
    """
    special = int(published()["text_values"]["special_expert"]["mixtral-8x7b"])
    domains, layers, experts = load.shape
    over_even = load * experts
    by_domain = over_even[..., special].mean(axis=1) - 1.0
    labels, text = label_test(over_even, special), sign_p(by_domain, "less")
    least = over_even.argmin(axis=-1) == special
    effect = float(by_domain.mean())
    return Finding(
        effect=effect,
        interval=t_interval(by_domain, 0.95),
        equivalence=t_interval(by_domain, 0.90),
        p_value=max(labels.p_less, text),
        p_opposite=max(labels.p_greater, sign_p(by_domain, "greater")),
        smallest_p=max(labels.smallest_p, 0.5**domains),
        n_units=domains,
        details={
            f"load over even share layer {layer}": float(over_even[:, index, special].mean())
            for index, layer in enumerate(LAYERS)
        }
        | {
            "special_expert": special,
            "cells_least_chosen": int(least.sum()),
            "cells": domains * layers,
            "p_sign_domains": text,
            "p_labels": labels.p_less,
            "p_labels_same_in_all_layers": same_label_test(over_even, special).p_less,
        },
        null_distribution=of_largest_p(
            (labels.p_less, labels.null_distribution(_ANY_LABEL, tail="lower", origin=layers, per=layers)),
            (text, sign_null(by_domain, "domains in which the special expert has more than the even share")),
        ),
        summary=f"Expert {special} has {abs(effect):.0%} {'less' if effect < 0 else 'more'} than the even share and is "
        f"the least chosen in {least.sum()} of {least.size} cells of domain and layer",
    )


def tuning_keeps_routing(base: Loads, tuned: Loads, domain: int) -> Finding:
    """The finding of ``tuning-keeps-routing``: tuning changes the loads on a text less than another domain does.

    ``base`` (D, layers, E) are the base model's loads, ``tuned`` (layers, E) the tuned model's on domain
    number ``domain``. The p-value ranks the change among the base model's pairs of domains. These pairs share
    domains, so it is too small; the p among pairs with that domain only is in the details.
    """
    moved = total_variation(base[domain], tuned)
    distances = domain_distances(base)
    every = list(distances.values())
    rank = test_against(moved, every, exact=False)
    own = test_against(moved, [distance for pair, distance in distances.items() if domain in pair], exact=False)
    return Finding(
        effect=kept_part(moved, base),
        interval=kept_interval(moved, base, 0.95),
        equivalence=kept_interval(moved, base, 0.90),
        p_value=rank.p_less,
        p_opposite=rank.p_greater,
        smallest_p=rank.smallest_p,
        n_units=len(base),
        details={
            f"distance_base_tuned layer {layer}": total_variation(base[domain, index], tuned[index])
            for index, layer in enumerate(LAYERS)
        }
        | {
            "distance_base_tuned": moved,
            "distance_domains_mean": float(np.mean(every)),
            "distance_domains_smallest": min(every),
            "domain_pairs": len(every),
            "p_among_pairs_with_the_tuning_text": own.p_less,
        },
        null_distribution=rank.null_distribution(
            "the base model's loads on any two domains", "distance of two loads", tail="lower"
        ),
        summary=f"Tuning moves {moved:.1%} of the choices on the same text, another domain {np.mean(every):.1%}",
    )


def _check_same_text(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> None:
    """Requires equal numbers of choices of the base and the tuned model on the tuning text."""
    totals = [sum(model["domains"][TUNING_TEXT]["topk"][LAYERS[0]]) for model in (base, tuned)]
    if totals[0] != totals[1]:
        raise ValueError(f"base and tuned model made {totals[0]} and {totals[1]} choices: count both on the same text")


BALANCED_ROUTING = Claim(
    id="balanced-routing",
    statement="Experts are chosen fairly evenly.",
    section="Appendix I",
    family="public",
    needs="counts",
    effect="normalised entropy of loads, mean over domains",
    smallest=0.95,
    rule="level",
    null="mean over domains of at most 0.95 (one-sided t)",
    unit="domain",
    estimator=balanced_routing,
    variants=("layer 0", "layer 7", "layer 15"),
    applies=f"{MIXTRAL}, {OLMOE}",
)


SPECIAL_EXPERT_CHOSEN_LESS = Claim(
    id="special-expert-chosen-less",
    statement="The expert whose weights stand apart is chosen less than the others (Mixtral).",
    section="Appendix I",
    family="public",
    needs="counts",
    effect="load of the special expert over the even share, less 1",
    smallest=-0.10,
    null="sign test over domains, and expert labels permuted in every layer, alike in all domains (the larger p)",
    unit="domain",
    estimator=special_expert_chosen_less,
    applies=MIXTRAL,
)


TUNING_KEEPS_ROUTING = Claim(
    id="tuning-keeps-routing",
    statement="Routing after instruction tuning is almost that of the base model.",
    section="Appendix I",
    family="public",
    needs="counts",
    effect="1 − distance of base and tuned loads / mean distance between domains",
    smallest=0.5,
    null="rank of the distance among those between the base model's domains",
    unit="domain",
    estimator=tuning_keeps_routing,
    variants=("against SFT", "against Instruct"),
    applies=OLMOE,
)


PUBLIC_MODELS: Mapping[str, tuple[str, ...]] = {
    BALANCED_ROUTING.id: (MIXTRAL, OLMOE),
    SPECIAL_EXPERT_CHOSEN_LESS.id: (MIXTRAL,),
    TUNING_KEEPS_ROUTING.id: (OLMOE,),
}
"""Claim id → models whose published counts it is tested on."""


def judged_counts(pack: Pack, alpha: float = 0.05, counts: Mapping[str, Any] | None = None) -> Judged:
    """All rows on published counts; those on one model are one family of tests (Benjamini–Hochberg at ``alpha``).

    Args:
        pack: pack that the claims belong to.
        alpha: error rate of a family of tests.
        counts: counts as for ``trials``.

    Raises:
        ValueError: base and tuned model were counted on different numbers of choices.
    """
    return rows_of(pack, "public", trials(counts), alpha)


@final
@dataclass(frozen=True)
class PublicCounts:
    """The evidence ``public``: published expert counts of real models, tested with their own unit and nulls."""

    name: str = "public"
    title: str = "Public measurements: published expert counts of the real models"

    @property
    def claims(self) -> Mapping[str, Claim]:
        """The claims on loads, by id."""
        return {claim.id: claim for claim in (BALANCED_ROUTING, SPECIAL_EXPERT_CHOSEN_LESS, TUNING_KEEPS_ROUTING)}

    def cases(self, claim: Claim, settings: Settings) -> Sequence[Case]:
        """One test per counted model and variant."""
        return [
            Case(self.name, claim.id, variant, model) for model in PUBLIC_MODELS[claim.id] for variant in claim.variants
        ]

    def judged(self, pack: Pack, case: Case, session: Session) -> Judged:
        """All rows on published counts."""
        return judged_counts(pack, session.settings.alpha)
