"""A whole run without pytest: evidence and audits that fail by themselves take nothing with them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from moe_claims.errors import MoeClaimsError, UsageError
from moe_claims.judge.judged import Judged
from moe_claims.judge.pack import Case, Pack, Session
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.run import session
from moe_claims.run.whole import judge_all
from moe_claims.settings import settings_from
from moe_claims.types import Audit, AuditOutcome

MODEL = "synthetic:planted?layers=3&experts=4&hidden=16&intermediate=8&context=24"


@dataclass(frozen=True)
class Broken:
    """Further evidence whose rows cannot be computed."""

    error: Exception
    name: str = "further"
    title: str = "Further"

    @property
    def claims(self) -> dict[str, Any]:
        return {"router-norm": replace(LIVE["router-norm"], family="public", needs="counts")}

    def cases(self, claim: Any, settings: Any) -> list[Case]:
        return [Case(self.name, claim.id, "total")]

    def judged(self, pack: Pack, case: Case, session: Session) -> Judged:
        raise self.error


def _audit(settings: Any) -> Audit:
    return Audit("fine", "s", "Table 1", AuditOutcome.AGREES, "1", "1", "they agree")


def _no_audit(settings: Any) -> Audit:
    raise UsageError("the table is not there")


@pytest.mark.parametrize(
    ("error", "message"),
    [(MoeClaimsError("no such file"), "no such file"), (KeyError("x\x1b[2J"), "KeyError: 'x\\x1b[2J'")],
)  # fmt: skip
def test_broken_evidence_and_audits_are_errors_by_themselves(error: Exception, message: str, tmp_path: Path) -> None:
    pack = Pack(
        id="other", title="T", paper="P", claims=(LIVE["neuron-order"],), evidence=(Broken(error),),
        audits={"fine": _audit, "gone": _no_audit},
    )  # fmt: skip
    settings = settings_from({"model": [MODEL], "profile": "quick", "cache": str(tmp_path), "device": "cpu"})
    document = judge_all(session.Session(settings, packs=(pack,))).document
    assert document["errors"] == [
        {"model": None, "claim": "other/gone", "message": "the table is not there"},
        {"model": None, "claim": "other/router-norm[total]", "message": message},
    ]
    assert [row["claim"] for row in document["results"]] == ["other/neuron-order"] * 3
    assert [row["id"] for row in document["audits"]] == ["fine"]


def test_without_claims_on_models_no_model_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "open_model", None)
    pack = Pack(id="other", title="T", paper="P", claims=(), audits={"fine": _audit})
    settings = settings_from({"model": [MODEL], "cache": str(tmp_path), "device": "cpu"})
    document = judge_all(session.Session(settings, packs=(pack,))).document
    assert [row["id"] for row in document["audits"]] == ["fine"]
    assert (document["errors"], document["models"], document["results"]) == ([], [], [])


def test_a_pack_that_cannot_be_judged_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = session.evaluate

    def evaluated(pack: Pack, *arguments: Any, **options: Any) -> Judged:
        if pack.id == "broken":
            raise ValueError("its fault")
        return real(pack, *arguments, **options)

    monkeypatch.setattr(session, "evaluate", evaluated)
    packs = [Pack(id=name, title="T", paper="P", claims=(LIVE["neuron-order"],)) for name in ("broken", "whole")]
    values = {"model": [MODEL], "profile": "quick", "cache": str(tmp_path), "device": "cpu"}
    document = judge_all(session.Session(settings_from(values), packs=packs)).document
    (error,) = document["errors"]
    assert (error["model"], error["claim"]) == (MODEL, "")
    assert error["message"] == f"pack 'broken' cannot be judged on '{MODEL}': ValueError: its fault"
    assert {row["pack"] for row in document["results"]} == {"whole"}
    assert [pack["id"] for pack in document["packs"]] == ["whole"]
