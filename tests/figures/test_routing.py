"""Who chose whom, and how often."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from moe_claims.figures import routing
from moe_claims.figures.data import Read, Subject

Subjects = Callable[[str], Subject]
Images = Callable[[Any], list[Any]]


@pytest.mark.parametrize("which", ["few", "many"])
def test_every_choice_of_the_first_sequence_is_drawn(which: str, subject: Subjects, images_of: Images) -> None:
    one = subject(which)
    assert isinstance(one.text, Read)
    routed, tokens = one.text.routed, int(one.text.routed.lengths[0])
    drawing = routing.patterns(one)
    strips = images_of(drawing.figure)[:3]
    for place, strip in zip(one.indices(routed.layers), strips, strict=True):
        values = np.ma.filled(strip.get_array(), np.nan)
        assert values.shape == (one.experts, tokens)
        assert np.isfinite(values).sum() == tokens * routed.chosen.shape[-1]
        for token, chosen in enumerate(routed.chosen[place, :tokens]):
            assert [values[expert, token] for expert in chosen] == list(range(1, len(chosen) + 1))
    assert drawing.notes[1] == f"The first sequence of 'builtin', all {tokens} tokens."


def test_long_sequences_are_cut_and_the_caption_says_so(subject: Subjects, images_of: Images) -> None:
    one = subject("few")
    assert isinstance(one.text, Read)
    routed = replace(one.text.routed, lengths=np.array([100, 100]))
    drawing = routing.patterns(replace(one, text=Read("a 'text'", ("w",) * 64, routed)))
    assert images_of(drawing.figure)[0].get_array().shape == (8, 64)
    assert drawing.notes[1] == "The first sequence of 'a 'text'', the first 64 of 100 tokens."


@pytest.mark.parametrize("which", ["few", "many"])
def test_loads_are_over_the_even_share(which: str, subject: Subjects, images_of: Images) -> None:
    one = subject(which)
    assert isinstance(one.text, Read)
    routed = one.text.routed
    experts, k = one.experts, routed.chosen.shape[-1]
    counts = np.array([[(layer == expert).sum() for expert in range(experts)] for layer in routed.chosen])
    drawing = routing.loads(one)
    load, score = images_of(drawing.figure)[:2]
    low, high = load.get_clim()
    assert low == -high
    there = counts > 0
    np.testing.assert_allclose(load.get_array()[there], np.log2(counts[there] * experts / (200 * k)))
    assert (load.get_array()[~there] == low).all()
    np.testing.assert_allclose(score.get_array().sum(axis=1), 100)
    never = int((~there).sum())
    said = f"{never} experts of a layer were never chosen and are drawn in the lowest colour."
    assert (said in drawing.notes) is bool(never)
