"""Recipes, training, baselines and export: deterministic, resumable, and what the card says is true."""

import gzip
import hashlib
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from moe_claims.errors import TextError, UsageError
from moe_claims.measure.routed import measure_routed
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.dense import open_dense
from moe_claims.models.embedded import DENSE, EMBEDDED, JUDGED, embedded_directory
from moe_claims.models.families import own
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.names import resolve
from moe_claims.zoo import __main__ as command
from moe_claims.zoo.baselines import ORDERS, baselines, ngram_nats
from moe_claims.zoo.export import LARGEST, bits_per_byte, card
from moe_claims.zoo.recipes import RECIPES, Recipe, recipe
from moe_claims.zoo.text import documents
from moe_claims.zoo.tokens import TokenStream, prepare
from moe_claims.zoo.train import balance_loss, batch, learning_rate, new_model, train
from moe_claims.zoo.upcycling import upcycle

_FEW = {
    "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
    "max_position_embeddings": 32,
}  # fmt: skip


def shrunk(name: str, **changes: Any) -> Recipe:
    """A recipe of the zoo, of few layers and neurons and steps."""
    of = recipe(name)
    settings = {**of.settings, **_FEW}
    if "n_routed_experts" in settings:
        settings |= {"n_routed_experts": 8, "moe_intermediate_size": 8}
    return replace(
        of, settings=settings, **{"sequence": 16, "batch": 4, "steps": 6, "warmup": 2, "points": ()} | changes
    )


SMALL = shrunk("tiny-scratch")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    words = ["the", "cat", "sees", "a", "dog", "and", "runs", "home", "far", "away"]
    pages = [" ".join(rng.choice(words, size=120)) for _ in range(120)]
    path = tmp_path / "text.txt"
    path.write_text("\f".join(pages))
    return path


# --- text -----------------------------------------------------------------------------------------


def test_wikipedia_markup_becomes_prose(tmp_path: Path) -> None:
    prose = "The '''tide''' is a [[sea level|level]] of the [[ocean]]. " * 12
    markup = (
        f"{{{{Infobox|a={{{{b}}}}}}}}{prose}\n== History ==\n"
        "It {{cite}} rose&lt;ref&gt;x&lt;/ref&gt;.\n* a list item\n"
        "[[Image:tide.jpg|thumb|a [[big]] tide]]\n[[de:Gezeiten]]\n[http://x.org link text] end. &amp;lt;b&amp;gt;"
    )
    dump = f'<mediawiki><page><text xml:space="preserve">{markup}</text></page><text>#REDIRECT [[x]]</text></mediawiki>'
    path = tmp_path / "dump.gz"
    path.write_bytes(gzip.compress(dump.encode()))
    (found,) = documents(path)
    assert found.startswith("The tide is a level of the ocean. The tide")
    assert "History\nIt rose." in found
    assert "link text end." in found
    assert not any(mark in found for mark in ("[", "{", "'''", "==", "list item", "Gezeiten", "thumb", "ref"))


def test_texts_that_cannot_be_trained_on_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1") * 1000)
    (tmp_path / "short.txt").write_text("too short")
    for name, message in (
        ("none.txt", "no training text at"),
        ("latin.txt", r"is not UTF-8 \(byte 0\)"),
        ("short.txt", "has no document of 400 characters"),
    ):
        with pytest.raises(TextError, match=message):
            list(documents(tmp_path / name))


def test_a_limit_may_cut_a_character_in_two(tmp_path: Path) -> None:
    (tmp_path / "accents.txt").write_text("é" * 1000)
    (found,) = documents(tmp_path / "accents.txt", longest=1001)
    assert found == "é" * 500


# --- baselines ------------------------------------------------------------------------------------


def test_unigram_is_the_entropy_of_its_own_frequencies() -> None:
    ids = np.repeat(np.arange(4), [400, 300, 200, 100]).astype(np.int64)
    share = (np.array([400, 300, 200, 100]) + 1) / 1004
    assert ngram_nats(ids, ids, 4, 1) == pytest.approx(-(np.array([0.4, 0.3, 0.2, 0.1]) * np.log(share)).sum())


@pytest.mark.parametrize("order", [2, 3, 5])
def test_an_ngram_model_equals_a_slow_reference_and_is_a_distribution(order: int) -> None:
    rng = np.random.default_rng(1)
    train_ids, held_out = rng.integers(0, 5, 400), rng.integers(0, 5, 40)

    def probability(context: tuple[int, ...], follower: int) -> float:
        if not context:
            return (np.count_nonzero(train_ids == follower) + 1) / (len(train_ids) + 5)
        n = len(context)
        after = [train_ids[i + n] for i in range(len(train_ids) - n) if tuple(train_ids[i : i + n]) == context]
        shorter = probability(context[1:], follower)
        if not after:
            return shorter
        return (after.count(follower) + len(set(after)) * shorter) / (len(after) + len(set(after)))

    assert sum(probability((1, 2), f) for f in range(5)) == pytest.approx(1)
    back = order - 1
    slow = [probability(tuple(held_out[i - back : i]), held_out[i]) for i in range(back, len(held_out))]
    assert ngram_nats(train_ids, held_out, 5, order) == pytest.approx(-np.log(slow).mean())


def test_runs_that_have_no_number_in_64_bits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"runs of 5 tokens out of 50,000 cannot be numbered in 64 bits"):
        ngram_nats(np.arange(9), np.arange(9), 50_000, 5)


def test_baselines_are_counted_once(text: Path, tmp_path: Path) -> None:
    streams = prepare(SMALL, text, tmp_path)
    found = baselines(*streams, SMALL.vocabulary, tmp_path)
    assert found.keys() == ORDERS.keys()
    (tmp_path / "baselines.json").write_text(json.dumps({"unigram": 1.0}))
    assert baselines(*streams, SMALL.vocabulary, tmp_path) == {"unigram": 1.0}
    prepare(replace(SMALL, settings={**SMALL.settings, "vocab_size": 290}), text, tmp_path)
    assert not (tmp_path / "baselines.json").exists()


def test_bits_per_byte() -> None:
    assert bits_per_byte(math.log(2), tokens=10, utf8_bytes=20) == pytest.approx(0.5)


# --- training -------------------------------------------------------------------------------------


def test_the_schedule_warms_up_peaks_and_ends_at_a_tenth() -> None:
    rates = [learning_rate(SMALL, step) for step in range(SMALL.steps + 1)]
    assert rates[0] == pytest.approx(SMALL.learning_rate / 2)
    assert max(rates) == rates[2] == SMALL.learning_rate
    assert rates[-1] == pytest.approx(SMALL.learning_rate / 10)


def test_an_interrupted_run_ends_as_an_uninterrupted_one(text: Path, tmp_path: Path) -> None:
    stream, _ = prepare(SMALL, text, tmp_path / "tokens")
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = train(SMALL, stream, tmp_path / "whole")
    train(SMALL, stream, tmp_path / "parts", until=3)
    said: list[str] = []
    parts = train(SMALL, stream, tmp_path / "parts", say=said.append)
    assert said == ["tiny-scratch: going on after step 3"]
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))
    logs = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("whole", "parts")
    ]
    assert logs[0] == logs[1]
    assert (tmp_path / "parts" / "state.safetensors").exists()


@pytest.mark.parametrize("name", RECIPES)
def test_fifty_steps_from_a_saved_state_reproduce_the_recorded_losses(name: str, text: Path, tmp_path: Path) -> None:
    small = shrunk(name, steps=60)
    stream, _ = prepare(small, text, tmp_path / "tokens")
    recorded, again = tmp_path / "recorded", tmp_path / "again"
    recorded.mkdir()
    train(small, stream, recorded, until=10)
    shutil.copytree(recorded, again)
    losses = []
    for folder in (recorded, again):
        torch.manual_seed(len(losses))  # nothing may hang on what was drawn before
        train(small, stream, folder, say=lambda _: None)
        losses.append([json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()])
    assert [len(each) for each in losses] == [60, 60]
    assert losses[1][10:] == pytest.approx(losses[0][10:], abs=1e-3)
    assert np.mean(losses[0][-5:]) < np.mean(losses[0][:5])


def test_a_log_holds_every_step_once(text: Path, tmp_path: Path) -> None:
    stream, _ = prepare(SMALL, text, tmp_path / "tokens")
    train(SMALL, stream, tmp_path, until=2)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 2, "loss": 9.0}) + "\n")  # done, but not saved before the run was killed
    train(SMALL, stream, tmp_path, say=lambda _: None)
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(SMALL.steps))


@pytest.mark.parametrize("other", ["recipe", "text", "start"])
def test_the_state_of_another_run_is_not_gone_on_with(other: str, text: Path, tmp_path: Path) -> None:
    stream, _ = prepare(SMALL, text, tmp_path / "tokens")
    train(SMALL, stream, tmp_path, until=2)
    changed = {
        "recipe": lambda: train(replace(SMALL, seed=1), stream, tmp_path),
        "text": lambda: train(SMALL, TokenStream(stream.ids[1:], stream.utf8_bytes), tmp_path),
        "start": lambda: train(SMALL, stream, tmp_path, start=new_model(SMALL)),
    }
    expected = (
        rf"^'{tmp_path / 'state.safetensors'}' is the state of a run of another recipe, text or start: remove it to "
        r"begin anew, or give another --work$"
    )
    with pytest.raises(UsageError, match=expected):
        changed[other]()
    assert train(SMALL, stream, tmp_path, until=3, say=lambda _: None) is not None


def test_a_run_begun_anew_leaves_no_points_of_the_one_before(text: Path, tmp_path: Path) -> None:
    stream, _ = prepare(SMALL, text, tmp_path / "tokens")
    train(replace(SMALL, points=(1, 2)), stream, tmp_path)
    (tmp_path / "state.safetensors").unlink()
    train(replace(SMALL, points=(2, 5)), stream, tmp_path)
    assert {path.stem for path in (tmp_path / "points").iterdir()} == {"step2", "step5"}


def test_tokens_are_those_of_the_text_whatever_its_name(text: Path, tmp_path: Path) -> None:
    first, _ = prepare(SMALL, text, tmp_path / "tokens")
    assert prepare(SMALL, text, tmp_path / "tokens")[0].sha256 == first.sha256
    swapped = text.read_text().replace("cat", "dog").replace("far ", "fare")[: len(text.read_text())]
    text.write_text(swapped.ljust(len(text.read_text())))  # another text of the same name and length
    assert prepare(SMALL, text, tmp_path / "tokens")[0].sha256 != first.sha256


def test_weights_are_left_at_the_points(text: Path, tmp_path: Path) -> None:
    small = replace(SMALL, points=(0, 2, 6))
    stream, _ = prepare(small, text, tmp_path / "tokens")
    model = train(small, stream, tmp_path)
    left = {path.stem: load_file(path) for path in (tmp_path / "points").iterdir()}
    assert set(left) == {"step0", "step2", "step6"}
    fresh = dict(new_model(small).named_parameters())
    assert all(torch.equal(fresh[name], tensor) for name, tensor in left["step0"].items())
    assert all(torch.equal(dict(model.named_parameters())[name], tensor) for name, tensor in left["step6"].items())
    assert not torch.equal(left["step0"]["lm_head.weight"], left["step2"]["lm_head.weight"])


def test_the_balance_loss_is_that_of_transformers_for_one_layer_and_one_where_all_are_alike() -> None:
    logits = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    theirs = load_balancing_loss_func((logits,), num_experts=6, top_k=2)
    # Theirs counts a token's k choices as k, ours as shares of 1.
    assert balance_loss([logits], 2).item() == pytest.approx(float(theirs) / 2)
    even = torch.eye(6).repeat(10, 1) * 1e-6
    assert balance_loss([even, even], 1).item() == pytest.approx(2, rel=1e-4)
    uneven = torch.tensor([9.0, 0, 0, 0, 0, 0]).repeat(40, 1)
    assert balance_loss([uneven], 1).item() > 5


def test_batches_depend_on_seed_and_step_alone(text: Path, tmp_path: Path) -> None:
    stream, _ = prepare(SMALL, text, tmp_path)
    assert torch.equal(batch(SMALL, stream, 3), batch(SMALL, stream, 3))
    assert not torch.equal(batch(SMALL, stream, 3), batch(SMALL, stream, 4))
    assert not torch.equal(batch(SMALL, stream, 3), batch(replace(SMALL, seed=1), stream, 3))
    assert batch(SMALL, stream, 0).shape == (SMALL.batch, SMALL.sequence)
    assert (batch(SMALL, stream, 0)[:, 0] == 0).all()


def test_the_command_trains_exports_and_names_what_is_wrong(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(RECIPES, "small", replace(SMALL, name="small"))
    monkeypatch.chdir(tmp_path)
    assert command.main(["train", "small", "--text", str(text), "--steps", "2"]) == 0
    assert "stopped after step 2 of 6" in capsys.readouterr().out
    assert command.main(["train", "small", "--text", str(text)]) == 0
    out = capsys.readouterr().out
    assert "going on after step 2" in out
    assert "bits per byte on held-out text (unigram" in out
    folder = tmp_path / "training" / "small" / "model"
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "recipe.json", "README.md",
    }  # fmt: skip
    names = Checkpoint.open(folder, "small")._source.names()  # the layout on disk is the point
    assert "model.layers.0.block_sparse_moe.experts.3.w1.weight" in names
    assert "| small |" in (folder / "README.md").read_text()
    for arguments, message in (
        (["train", "huge", "--text", str(text)], "unknown recipe 'huge': the zoo has small, tiny-dense, "),
        (["train", "small", "--text", "none.txt", "--work", "w"], "no training text at 'none.txt'"),
        (["train", "small", "--text", str(text), "--threads", "0"], "--threads 0: give a whole number, 1 or more"),
        (
            ["train", "small", "--text", str(text), "--steps", "7"],
            "--steps 7: the recipe 'small' has 6; give 1 to that",
        ),
    ):
        assert command.main(arguments) == 4
        assert message in capsys.readouterr().err


def test_an_upcycled_model_is_trained_from_a_dense_one_of_its_shape(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(RECIPES, "dense", replace(shrunk("tiny-dense"), name="dense"))
    monkeypatch.setitem(RECIPES, "up", replace(shrunk("tiny-upcycled"), name="up", upcycled_from="dense"))
    wide = {**shrunk("tiny-dense").settings, "hidden_size": 32}
    monkeypatch.setitem(RECIPES, "wide", replace(shrunk("tiny-dense"), name="wide", settings=wide))
    monkeypatch.chdir(tmp_path)
    for name in ("dense", "wide"):
        assert command.main(["train", name, "--text", str(text)]) == 0
    assert command.main(["train", "up", "--text", str(text), "--dense", "training/dense/model"]) == 0
    written = (tmp_path / "training" / "up" / "model" / "README.md").read_text()
    assert "upcycled from dense (every expert began as a copy" in written
    start = hashlib.sha256((tmp_path / "training" / "dense" / "model" / "model.safetensors").read_bytes()).hexdigest()
    assert f"- **Began as**: dense, weights SHA-256 `{start}`" in written
    capsys.readouterr()
    for name, dense, message in (
        ("dense", "training/wide/model", "the recipe 'dense' trains from scratch; leave it out"),
        ("up", "training/none", "there is no model.safetensors in it; train 'dense' first"),
        ("up", "training/wide/model", "it does not have the shape of 'up'"),
    ):
        assert command.main(["train", name, "--text", str(text), "--dense", dense]) == 4
        assert f"error: --dense {dense}: {message}" in capsys.readouterr().err


def test_unknown_recipes_are_named() -> None:
    with pytest.raises(UsageError, match="unknown recipe 'x': the zoo has tiny-dense, tiny-fine, "):
        recipe("x")


# --- what ships -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_model_is_what_its_card_says(name: str) -> None:
    folder = embedded_directory(name)
    record = json.loads((folder / "recipe.json").read_text())
    assert record["recipe"] == recipe(name).as_dict()
    for file, digest in record["sha256"].items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == digest
    assert (folder / "README.md").read_text() == card(recipe(name), record["scores"], record["sha256"])
    assert (folder / "model.safetensors").stat().st_size < LARGEST
    scores = record["scores"]
    assert scores["model_bits_per_byte"] < scores["trigram_bits_per_byte"] < scores["unigram_bits_per_byte"]
    assert sum(path.stat().st_size for path in folder.parent.rglob("*") if path.is_file()) < 48e6


@pytest.mark.parametrize(
    ("name", "layers", "shape"),
    [
        ("tiny-scratch", tuple(range(12)), (8, 2)),
        ("tiny-upcycled", tuple(range(12)), (8, 2)),
        ("tiny-fine", tuple(range(1, 12)), (32, 4)),
        ("tiny-gelu", tuple(range(12)), (8, 2)),
    ],
)
def test_embedded_mixtures_of_experts_have_the_shape_that_they_should(
    name: str, layers: tuple[int, ...], shape: tuple[int, int]
) -> None:
    checkpoint = Checkpoint.open(embedded_directory(name), name)
    assert checkpoint.moe_layers == layers
    assert (checkpoint.experts, checkpoint.top_k) == shape
    assert checkpoint.router(layers[0]).dtype == torch.bfloat16


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_model_loads_with_plain_transformers_and_reads_prose(name: str) -> None:
    folder = embedded_directory(name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("The history of the city began in the early years of the century.")["input_ids"]
    assert ids[0] == 0
    if name in ("tiny-fine", "tiny-gelu"):
        own.register()  # families that transformers lacks
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        loss = model(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss.item()
    assert loss < 4.5  # uniform guessing over 512 entries costs 6.2
    if name in JUDGED:
        ours = measure_routed(LayerwiseModel(Checkpoint.open(folder, name)), [ids, ids]).nats
        assert ours == pytest.approx([loss, loss], rel=1e-4)
    else:
        assert open_dense(resolve(name)).matrix(0, "act").shape == (96, 96)


def test_the_upcycled_model_began_as_its_dense_one() -> None:
    given = recipe("tiny-upcycled")
    assert given.upcycled_from == DENSE
    dense = AutoModelForCausalLM.from_pretrained(embedded_directory(DENSE), dtype=torch.float32).eval()
    sparse = new_model(given).eval()
    upcycle(dense, sparse)
    ids = torch.arange(2, 60)[None]
    with torch.inference_mode():
        assert torch.allclose(dense(input_ids=ids).logits, sparse(input_ids=ids).logits, atol=1e-4)
