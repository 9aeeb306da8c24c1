"""The report in LaTeX: whole, with as many cells in every row as headers, and compiled where an engine is installed."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pylatexenc.latexwalker import LatexEnvironmentNode, LatexWalker

from moe_claims.packs.look_into_moes.audits import run_audits
from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.packs.look_into_moes.routing_counts import judged_counts
from moe_claims.report import latex, latex_text, results
from moe_claims.types import Verdict

Maker = Callable[..., dict[str, Any]]


@pytest.fixture
def document(made_row: Maker, made_document: Maker) -> dict[str, Any]:
    """Every kind of table: two models, published counts, trainings, rows set aside, errors."""
    control = {"random_init": {"verdict": "replicated", "effect": -0.4, "reason": "so", "artefact": True}}
    rows = [
        made_row(controls=control),
        made_row(model="b_model", verdict=Verdict.DIRECTION_ONLY, effect=-0.5),
        made_row(claim="last-layer-outlier", verdict=Verdict.CONTRADICTED, family="secondary", variant=None),
        made_row(claim="pca-clusters", variant="up", verdict=Verdict.NOT_APPLICABLE, reason="needs 100 % & more"),
        made_row(claim="training-scheme", variant="order", evidence="trained", family="trained", corpus="a.gz"),
        *map(results.result_row, judged_counts(PACK).results),
    ]
    errors = [{"model": "c#model", "claim": c, "message": "has no config.json"} for c in ("x", "y")]
    audits = [results.audit_row(replace(audit, pack=PACK.id)) for audit in run_audits()]
    return made_document(rows, errors=errors, audits=audits)


def tables(text: str) -> list[str]:
    return re.findall(r"\\begin\{longtable\}.*?\\end\{longtable\}", text, re.DOTALL)


def cells_of(line: str) -> list[str]:
    return re.split(r"(?<!\\)&", line.removesuffix(r" \\"))


def environments(text: str) -> list[str]:
    """Names of all environments, in order; an error where braces or environments do not close."""
    nodes, _, _ = LatexWalker(text, tolerant_parsing=False).get_latex_nodes()
    (whole,) = [node for node in nodes if isinstance(node, LatexEnvironmentNode)]
    inner = [node.environmentname for node in whole.nodelist if isinstance(node, LatexEnvironmentNode)]
    return [whole.environmentname, *inner]


def test_a_table_for_audits_all_models_and_every_group(document: dict[str, Any]) -> None:
    text = latex.render(document)
    assert text.isascii()
    assert environments(text) == ["document", *["longtable"] * 7]
    captions = re.findall(r"\\caption\{(.*)\}\\\\", text)
    assert [caption.partition(":")[0] for caption in captions] == [
        "Audits of the paper's printed numbers, recomputed from each other", "All models",
        "Public measurements", r"a-model, trained on a.gz", "Headline claims (Holm)",
        r"Secondary claims (Benjamini\textendash{}Hochberg)", "Headline claims (Holm)",
    ]  # fmt: skip
    assert r"\ensuremath{\checkmark} replicated & router-norm {[}total{]} & 0.63 & {[}$-$0.10, 0.34{]}" in text
    assert (
        r"router-norm {[}total{]} & \ensuremath{\checkmark} 0.63 \ensuremath{\dagger} & \ensuremath{\sim} $-$0.50"
        in text
    )
    assert r"not applicable: pca-clusters {[}up{]}: needs 100 \% \& more" in text
    assert text.count(r"c\#model: has no config.json") == 1
    assert r"\ensuremath{\checkmark} replicated ($-$0.40) \ensuremath{\dagger}" in text


def test_every_row_has_as_many_cells_as_there_are_columns(document: dict[str, Any]) -> None:
    for table in tables(latex.render(document)):
        rows = [cells_of(line) for line in table.splitlines() if line.endswith(r" \\") and "caption" not in line]
        head = re.search(r"\\begin\{longtable\}\{@\{\}(.*)@\{\}\}", table)
        assert head is not None
        columns = re.sub(r">\{.*?\}p\{.*?\}", "p", head[1].replace(r"\arraybackslash", ""))
        assert {len(row) for row in rows} == {len(columns)}


def test_columns_that_nothing_stands_in_are_left_out(made_document: Maker, made_row: Maker) -> None:
    (table,) = tables(latex.render(made_document([made_row(p_adjusted=None)], audits=[])))
    assert "verdict & claim & effect & 95 \\% interval \\\\" in table


def test_nothing_measured_is_a_document_too(made_document: Maker) -> None:
    text = latex.render(made_document([], audits=[], models=[], corpora=[]))
    assert environments(text) == ["document"]


def test_it_compiles(document: dict[str, Any], made_row: Maker, compiled: Callable[[str], bytes]) -> None:
    every_sign = " ".join([*latex_text.SIGNS, *"éÅñîçőǰșűḍ", "\u202e", "🙂", *map(chr, range(32, 127))])
    document["results"] += [made_row(model=every_sign), made_row(model="[", claim="*"), made_row(claim="[")]
    assert len(compiled(latex.render(document))) > 10_000
