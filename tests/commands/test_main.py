"""The command line, through its real entry: what it writes, and one line where it cannot."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moe_claims.commands import Answer, claims
from moe_claims.commands.main import main
from moe_claims.commands.report import FORMATS
from moe_claims.measure.export import export
from moe_claims.models.embedded import EMBEDDED
from moe_claims.models.loading import open_model
from moe_claims.models.names import ALIASES, resolve
from moe_claims.packs.look_into_moes.audits import run_audits
from moe_claims.packs.look_into_moes.pack import LIVE, PACK, TRAINED
from moe_claims.packs.look_into_moes.routing_counts import judged_counts
from moe_claims.report import results

CLAIMS = {**LIVE, **TRAINED}
TINY = "synthetic:planted?layers=3&experts=5&hidden=16&intermediate=16&context=24"


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measurements are not kept among those of whoever runs the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def test_claims_and_models_list_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims"]) == 0
    listed = capsys.readouterr().out
    assert all(claim in listed for claim in CLAIMS)
    assert max(len(line) for line in listed.splitlines()) <= 120
    assert main(["claims", "--full", "router-norm"]) == 0
    assert CLAIMS["router-norm"].null.split(";")[0] in " ".join(capsys.readouterr().out.split())
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in (*ALIASES, *EMBEDDED, "synthetic:planted"))
    assert "embedded: mixtral, upcycled from tiny-dense, 4,000 steps, 8.2 M tokens" in listed
    assert "; tiny-scratch@step60 … @step4000" in listed


def test_measure_writes_every_documented_array(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = tmp_path / "ids.json"
    sequences = [[0, 5, 6, 7], [0, 8, 9], [1, 2, 3, 4, 5]]
    ids.write_text(json.dumps(sequences))
    output = tmp_path / "new" / "m.npz"
    what = "weights,matching,outputs,token-outputs"
    assert main(["measure", TINY, "--token-ids", str(ids), "--what", what, "--output", str(output)]) == 0
    assert f"written to {output}" in capsys.readouterr().out
    layers, tokens, experts, neurons, k = 3, 12, 5, 16, 2
    expected = {
        "layers": (layers,), "lengths": (3,), "nats": (3,), "similarity.router": (layers, experts, experts),
        "router_logits": (layers, tokens, experts), "output_norms": (layers, tokens, experts),
        "chosen": (layers, tokens, k), "rank_counts": (layers, experts, experts),
        "activation_share": (layers, experts), "output_similarity.angular_mean": (layers, experts, experts),
        "output_similarity.cosine": (layers, tokens, experts, experts),
    }  # fmt: skip
    for role in ("up", "act", "down"):
        expected |= {f"similarity.{kind}.{role}": (layers, experts, experts) for kind in ("matrix", "mean")}
        expected |= {f"matching.{role}.{kind}": (layers, experts, experts) for kind in ("similarity", "tau")}
        expected |= {
            f"matching.{role}.permutation": (layers, experts, experts, neurons),
            f"association.{role}": (layers,),
        }
    with np.load(output) as arrays:
        assert {name: arrays[name].shape for name in arrays.files} == expected
        assert arrays["lengths"].tolist() == [4, 3, 5]
        assert arrays["rank_counts"].sum(axis=(1, 2)).tolist() == [tokens * experts] * layers
        angular = (1 - np.arccos(arrays["output_similarity.cosine"].astype(float)) / np.pi).mean(axis=1)
        assert angular == pytest.approx(arrays["output_similarity.angular_mean"], abs=1e-3)


def test_association_is_pearsons_r_over_pairs(tmp_path: Path) -> None:
    output = tmp_path / "m.npz"
    export(
        TINY, text=None, token_ids=None, what=("weights",), tokens=None, device="cpu", dtype="float32", output=output
    )
    with np.load(output) as arrays:
        upper = np.triu_indices(5, 1)
        for layer in range(3):
            router, act = arrays["similarity.router"][layer], arrays["similarity.mean.act"][layer]
            r = np.corrcoef(router[upper], act[upper])[0, 1]
            assert arrays["association.act"][layer] == pytest.approx(r)


@pytest.mark.parametrize(("found", "status"), [("so it is", 0), (Answer("so it is", 0), 0), (Answer("so it is", 1), 1)])
def test_what_a_command_found_may_decide_the_status(
    found: str | Answer, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(claims, "run", lambda given: found)
    assert main(["claims"]) == status
    assert capsys.readouterr() == ("so it is\n", "")


BAD = [
    (["measure", "mixtrl", "--output", "x.npz"], "did you mean mixtral"),
    (["measure", TINY, "--output", "x.txt"], "give a file name that ends in .npz"),
    (["measure", TINY, "--what", "everything", "--output", "x.npz"], "--what everything: give some of weights"),
    (["measure", TINY, "--tokens", "0", "--output", "x.npz"], "--tokens 0: give a whole number"),
    (["measure", TINY, "--text", "nothing.txt", "--output", "x.npz"], "there is no file 'nothing.txt': give builtin"),
    (["measure", TINY, "--token-ids", "nothing.json", "--output", "x.npz"], "there is no file 'nothing.json'"),
    (["report", "nothing.json"], "there is no results file 'nothing.json'"),
    (["claims", "--full", "routr-norm"], "there is no claim 'routr-norm': did you mean 'router-norm'?"),
    (["calibrate", "--seeds", "0"], "--seeds and --workers are whole numbers"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_line_and_status_4(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 4
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert message in said
    assert not list(tmp_path.iterdir())


@pytest.fixture
def results_file(tmp_path: Path) -> Path:
    """Results of published counts, and of audits of printed numbers."""
    document = results.document(
        created="2026-01-01",
        environment={"moe_claims": "0", "python": "3"},
        packs=[PACK.described()],
        models=[],
        corpora=[],
        results=map(results.result_row, judged_counts(PACK).results),
        audits=[results.audit_row(replace(audit, pack=PACK.id)) for audit in run_audits()],
        errors=[{"model": "byte \udcff", "claim": "x", "message": "it broke"}],
        order={},
    )
    results.write(tmp_path / "in" / "results.json", document)
    return tmp_path / "in" / "results.json"


BEGINS = {
    "table": "Audits: ",
    "markdown": "# Reproducibility report",
    "latex": "% Written by",
    "csv": "pack,claim,claim_version,variant,",
}
BEGINS["html"] = "<!DOCTYPE html>"


@pytest.mark.parametrize("name", FORMATS)
def test_report_prints_every_format_or_writes_it(
    name: str, results_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(results_file), "--format", name]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(BEGINS[name])
    output = tmp_path / "new" / "report"
    assert main(["report", str(results_file), "--format", name, "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"written to {output}\n"
    assert output.read_bytes().decode().rstrip("\n") == printed.rstrip("\n")
    assert list(output.parent.iterdir()) == [output]


def test_figures_are_for_the_page_alone(results_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(results_file), "--format", "csv", "--figures", "drawn"]) == 4
    assert capsys.readouterr().err == "error: --figures drawn: only --format html shows figures\n"
    assert main(["report", str(results_file), "--format", "html", "--figures", str(tmp_path / "none")]) == 4
    assert "'python -m moe_claims figures NAME --output DIR' makes it" in capsys.readouterr().err


def test_what_a_terminal_has_no_sign_for_is_written_out(results_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    assert main(["report", str(results_file)]) == 0
    assert rb"\u2713 replicated" in raw.getvalue()


def test_an_output_that_cannot_be_written_is_one_line(
    results_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    cases = {
        tmp_path: "is a folder: give a file in it",
        tmp_path / "file" / "report": "cannot be written (File exists): give another file",
    }
    for output, message in cases.items():
        assert main(["report", str(results_file), "--output", str(output)]) == 4
        assert capsys.readouterr().err == f"error: --output {output}: {message}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "in"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[1, 2], [3]]", "must hold a JSON list of lists of at least two token ids"),
        ("[[1, 2.5]]", "must hold a JSON list of lists"),
        ('{"ids": 1}', "must hold a JSON list of lists"),
        ("[[1, 2], [3", "is not JSON"),
        ("[[1, 512]]", "holds token id 512, but the last of"),
        ("[[1, -1]]", "must hold a JSON list of lists"),
    ],
)
def test_bad_token_ids_are_one_line(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ids.json").write_text(content)
    arguments = ["measure", TINY, "--token-ids", str(tmp_path / "ids.json"), "--what", "outputs"]
    assert main([*arguments, "--output", str(tmp_path / "m.npz")]) == 4
    assert message in capsys.readouterr().err


def test_token_ids_are_used_exactly_as_given(tmp_path: Path) -> None:
    model = open_model(resolve(TINY))
    assert model.encode is not None
    assert model.encode("two words")[0] == 0  # the tokenizer begins every text with 0; token ids do not
    (tmp_path / "ids.json").write_text("[[7, 7, 7], [9, 9]]")
    arguments = ["measure", TINY, "--token-ids", str(tmp_path / "ids.json"), "--what", "outputs"]
    assert main([*arguments, "--output", str(tmp_path / "m.npz")]) == 0
    with np.load(tmp_path / "m.npz") as arrays:
        assert arrays["lengths"].tolist() == [3, 2]
        assert arrays["router_logits"].shape[1] == 5
