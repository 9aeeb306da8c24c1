"""Texts as one model reads them: cut to what is asked for, and never with ids that the model does not know."""

import dataclasses
import json
from pathlib import Path

import pytest

from moe_claims.errors import UsageError
from moe_claims.measure.sequences import read_passage, read_text, read_token_ids
from moe_claims.models.loading import OpenModel, open_model
from moe_claims.models.names import resolve

MODEL = "synthetic:planted?layers=2&experts=4&hidden=16&intermediate=8&context=12"


@pytest.fixture(scope="module")
def model() -> OpenModel:
    return open_model(resolve(MODEL))


def test_a_text_is_cut_to_the_tokens_asked_for(model: OpenModel) -> None:
    whole, some = read_text(model, "builtin"), read_text(model, "builtin", tokens=100)
    assert some.tokens == 100
    assert whole.tokens > 100
    assert some.ids[0] == whole.ids[0]
    assert max(map(len, whole.ids)) <= model.context


def test_a_passage_is_one_sequence(model: OpenModel) -> None:
    read = read_passage(model, "short input", "one two three " * 10)
    assert (read.name, read.passages, len(read.ids), read.tokens) == ("short input", 1, 1, model.context)


def test_token_ids_are_used_exactly_as_given(model: OpenModel, tmp_path: Path) -> None:
    file = tmp_path / "ids.json"
    ids = [[5, 6, 7], [0, 8]]
    file.write_text(json.dumps(ids))
    read = read_token_ids(model, file)
    assert read.ids == ((5, 6, 7), (0, 8))
    assert (read.name, read.source_sha256, read.passages, read.tokens_cut) == (str(file), None, 2, 0)
    file.write_text(json.dumps([[5, 6, 7], [0, 9]]))
    assert read_token_ids(model, file).sha256 != read.sha256


def test_ids_beyond_the_models_are_refused_wherever_they_come_from(model: OpenModel, tmp_path: Path) -> None:
    beyond = int(model.checkpoint.text_config["vocab_size"])
    file = tmp_path / "ids.json"
    file.write_text(json.dumps([[1, 2], [3, beyond]]))
    foreign = dataclasses.replace(model, encode=lambda text: [1, beyond, 2])
    for read, who in (
        (lambda: read_token_ids(model, file), f"'{file}'"),
        (lambda: read_text(foreign, "builtin"), f"'builtin' as '{MODEL}' reads it"),
        (lambda: read_passage(foreign, "short input", "any"), f"the short input as '{MODEL}' reads it"),
    ):
        with pytest.raises(UsageError) as caught:
            read()
        assert str(caught.value).startswith(f"{who} holds token id {beyond}, but the last of the model is {beyond - 1}")
