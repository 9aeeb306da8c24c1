"""Results documents made up for the formats: one settled row, and what a test changes of it."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.report import results
from moe_claims.types import Audit, AuditOutcome

AUDIT = Audit("an-audit", "It is so.", "Table 1", AuditOutcome.DISAGREES, "0.5", "0.6", "0.6 is not 0.5.", pack=PACK.id)


@pytest.fixture(scope="session")
def made_document(made_row: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """(rows, name="a-model", **parts) → a document whose model, text and audit are called so."""

    def make(rows: list[dict[str, Any]] | None = None, name: str = "a-model", **parts: Any) -> dict[str, Any]:
        card = {
            "name": name, "kind": "directory", "hub_id": None, "revision_sha": None, "family": "mixtral",
            "moe_layers": 12, "total_layers": 12, "experts": 8, "top_k": 2, "hidden": 8, "intermediate": 8,
            "weights_sha256": "0" * 64, "note": None,
        }  # fmt: skip
        text = {
            "name": "builtin", "model": name, "text_sha256": "1" * 64, "token_ids_sha256": "2" * 64, "passages": 26,
            "source": None, "revision_sha": None, "sequences": 26, "tokens": 7174, "tokens_cut": 0,
            "nats_per_token": 4.03,
        }  # fmt: skip
        given: dict[str, Any] = {
            "created": "2026-01-01T00:00:00+00:00",
            "environment": {"moe_claims": "0", "python": "3.11", "seed": 0},
            "packs": [PACK.described()],
            "models": [card],
            "corpora": [text],
            "results": rows if rows is not None else [made_row(model=name)],
            "audits": [results.audit_row(AUDIT)],
            "errors": [],
            "order": {"public": 0, "trained": 1, "live": 2},
        }
        return results.document(**(given | parts))

    return make


@pytest.fixture
def compiled(tmp_path: Path) -> Callable[[str], bytes]:
    """(LaTeX) → PDF, by the engine that is installed; skips where there is none."""
    engine = next(filter(None, map(shutil.which, ("pdflatex", "lualatex", "tectonic"))), None)
    if engine is None:
        pytest.skip("no LaTeX engine is installed: pdflatex, lualatex or tectonic")
    tectonic = Path(engine).name == "tectonic"
    options = [] if tectonic else ["-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"]

    def compile(text: str) -> bytes:
        (tmp_path / "report.tex").write_text(text, encoding="ascii")
        done = subprocess.run([engine, *options, "report.tex"], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:].decode("utf-8", "replace")
        return (tmp_path / "report.pdf").read_bytes()

    return compile
