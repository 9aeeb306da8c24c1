"""Claims that need nothing but expert loads, tested on published counts of the real models (paper, App. I).

The counts are of about 205,000 tokens per domain of text, without sequences: tokens of one text are
far from independent, so no interval or p-value here counts tokens. The unit is the domain. What is
known of a model is three of its layers (0, 7 and 15), which are taken as given.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from moe_claims.judge.combined_null import of_largest_p
from moe_claims.judge.registry import COUNTED, PUBLIC_MODELS
from moe_claims.packs.look_into_moes.loads_verdicts import LoadTrial, judge_all, judge_difference, judge_evenness
from moe_claims.packs.look_into_moes.paper import published, routing_counts
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
from moe_claims.types import Finding, Result

MIXTRAL = "mistralai/Mixtral-8x7B-v0.1"
OLMOE = "allenai/OLMoE-1B-7B-0924"
TUNED = {"against SFT": f"{OLMOE}-SFT", "against Instruct": f"{OLMOE}-Instruct"}
TUNING_TEXT = "tulu"
"""The one domain that was counted for the base and for the tuned models."""
LAYERS = ("0", "7", "15")
_ANY_LABEL = "experts relabelled in every layer, alike in all domains"

BALANCED, SPECIAL, TUNING = (COUNTED[name] for name in PUBLIC_MODELS)


def public_results(alpha: float = 0.05, counts: Mapping[str, Any] | None = None) -> list[Result]:
    """All claims on loads; those on one model are one family of tests (Benjamini–Hochberg at ``alpha``).

    ``counts`` is laid out as ``moe_claims.packs.look_into_moes.paper.routing_counts`` returns it, and defaults to it.
    Raises ValueError if base and tuned model were counted on different numbers of choices.
    """
    models = (routing_counts() if counts is None else counts)["models"]
    domains = {model: list(facts["domains"]) for model, facts in models.items()}
    # The same domains for both models, so that their rows can be compared.
    shared = [domain for domain in domains[MIXTRAL] if domain in domains[OLMOE]]
    rows = []
    for model in (MIXTRAL, OLMOE):
        load = loads(models[model], shared)
        rows += [balanced_routing(model, shared, load, layer) for layer in range(len(LAYERS))]
    rows.append(special_expert_chosen_less(loads(models[MIXTRAL], domains[MIXTRAL])))
    base, tuning_text = loads(models[OLMOE], domains[OLMOE]), domains[OLMOE].index(TUNING_TEXT)
    for variant, tuned in TUNED.items():
        _check_same_text(models[OLMOE], models[tuned])
        rows.append(tuning_keeps_routing(variant, base, loads(models[tuned], [TUNING_TEXT])[0], tuning_text))
    return judge_all(rows, alpha)


def loads(model: Mapping[str, Any], domains: Sequence[str]) -> Loads:
    """Read one model's loads on the named domains, shape (D, layers, E)."""
    by_domain = [model["domains"][domain]["topk"] for domain in domains]
    counts = np.array([[layers[layer] for layer in LAYERS] for layers in by_domain], dtype=np.float64)
    shares: Loads = counts / counts.sum(axis=-1, keepdims=True)
    return shares


def balanced_routing(model: str, domains: Sequence[str], load: Loads, layer: int) -> LoadTrial:
    """Test ``balanced-routing`` on one layer (its place in ``LAYERS``); ``load`` (D, layers, E)."""
    entropy = {name: normalised_entropy(domain) for name, domain in zip(domains, load[:, layer], strict=True)}
    values = list(entropy.values())
    over_even = load[:, layer] * load.shape[-1]
    above = t_test(values, BALANCED.smallest)
    return LoadTrial(
        claim=BALANCED,
        variant=BALANCED.variants[layer],
        model=model,
        finding=Finding(
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
            null_distribution=t_null(values, BALANCED.smallest),
        ),
        summary=f"Normalised entropy of loads {np.mean(values):.3f} over {len(values)} domains, "
        f"{min(values):.3f} in the lowest",
        judge=judge_evenness,
    )


def special_expert_chosen_less(load: Loads) -> LoadTrial:
    """Test ``special-expert-chosen-less``: Mixtral's loads (D, layers, E), and the expert that the paper names.

    Two explanations by chance have to be ruled out, so the p-value is the larger of two:

    - **The text.** Sign test over domains of the expert's load, averaged over layers, against the even
      share. It cannot go below 2**-D.
    - **The label.** Some expert is always below the even share, and in every domain alike, because the
      model is the same. So experts are relabelled within a layer with ONE relabelling for all domains.
      Relabelling each domain × layer cell on its own would count one static pattern once per domain
      and give far too small a p. Layers are relabelled independently; if an expert's number meant the
      same in every layer even that would be lenient, so the p of one relabelling for all layers, which
      cannot go below 1/E, is shown beside it.
    """
    special = int(published()["text_values"]["special_expert"]["mixtral-8x7b"])
    domains, layers, experts = load.shape
    over_even = load * experts
    by_domain = over_even[..., special].mean(axis=1) - 1.0
    labels, text = label_test(over_even, special), sign_p(by_domain, "less")
    least = over_even.argmin(axis=-1) == special
    effect = float(by_domain.mean())
    return LoadTrial(
        claim=SPECIAL,
        variant=None,
        model=MIXTRAL,
        finding=Finding(
            effect=effect,
            interval=t_interval(by_domain, 0.95),
            equivalence=t_interval(by_domain, 0.90),
            p_value=max(labels.p_less, text),
            p_opposite=max(labels.p_greater, sign_p(by_domain, "greater")),
            smallest_p=max(labels.smallest_p, 0.5**domains),
            n_units=domains,
            details={
                f"load over even share layer {layer}": float(over_even[:, place, special].mean())
                for place, layer in enumerate(LAYERS)
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
        ),
        summary=f"Expert {special} has {abs(effect):.0%} {'less' if effect < 0 else 'more'} than the even share and is "
        f"the least chosen in {least.sum()} of {least.size} cells of domain and layer",
        judge=judge_difference,
    )


def tuning_keeps_routing(variant: str, base: Loads, tuned: Loads, domain: int) -> LoadTrial:
    """Test ``tuning-keeps-routing``: tuning moves the loads on the same text less than another domain does.

    ``base`` (D, layers, E) are the base model's loads, ``tuned`` (layers, E) the tuned model's on domain
    number ``domain``. The rank takes the base model's pairs of domains as reference; pairs share
    domains, so its p is lenient, and the one among the pairs with that domain alone is shown beside it.
    """
    moved = total_variation(base[domain], tuned)
    distances = domain_distances(base)
    every = list(distances.values())
    rank = test_against(moved, every, exact=False)
    own = test_against(moved, [distance for pair, distance in distances.items() if domain in pair], exact=False)
    return LoadTrial(
        claim=TUNING,
        variant=variant,
        model=OLMOE,
        finding=Finding(
            effect=kept_part(moved, base),
            interval=kept_interval(moved, base, 0.95),
            equivalence=kept_interval(moved, base, 0.90),
            p_value=rank.p_less,
            p_opposite=rank.p_greater,
            smallest_p=rank.smallest_p,
            n_units=len(base),
            details={
                f"distance_base_tuned layer {layer}": total_variation(base[domain, place], tuned[place])
                for place, layer in enumerate(LAYERS)
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
        ),
        summary=f"Tuning moves {moved:.1%} of the choices on the same text, another domain {np.mean(every):.1%}",
        judge=judge_difference,
    )


def _check_same_text(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> None:
    """Require as many choices of the base as of the tuned model on the tuning text."""
    totals = [sum(model["domains"][TUNING_TEXT]["topk"][LAYERS[0]]) for model in (base, tuned)]
    if totals[0] != totals[1]:
        raise ValueError(f"base and tuned model made {totals[0]} and {totals[1]} choices: count both on the same text")
