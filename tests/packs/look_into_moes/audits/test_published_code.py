"""Audits that need a model: found by their ids, and run on the model that they are about."""

from pathlib import Path

import numpy as np
import pytest

from moe_claims import texts
from moe_claims.errors import UsageError
from moe_claims.measure.routed import measure_routed
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.loading import open_model
from moe_claims.models.names import resolve
from moe_claims.packs.look_into_moes.audits import AUDITS, published_code
from moe_claims.packs.look_into_moes.audits.published_code import DEMONSTRATIONS, MODEL
from moe_claims.settings import Settings, settings_from
from moe_claims.types import Audit, AuditOutcome
from moe_claims.zoo.recipes import recipe


@pytest.fixture
def settings() -> Settings:
    """Of a run that asks for other models, texts and lengths, which are none of an audit's business."""
    values = {"model": ["synthetic:null"], "text": ["builtin-code"], "tokens": "40", "dtype": "bfloat16"}
    return settings_from({**values, "device": "cpu"})


def check(audit: Audit, name: str) -> None:
    """Against the sums of the ordinary measurement of the same model and text."""
    model = open_model(resolve(name))
    ids = texts.tokenize(texts.load("builtin"), model.encoder(), limit=None, longest=model.context).ids
    routed = measure_routed(LayerwiseModel(model.checkpoint), ids)
    experts = routed.angular_sums.shape[-1]
    alike = (routed.angular_sums.sum(axis=(2, 3)) / routed.lengths - experts) / (experts * (experts - 1))
    assert audit.values["similarity by_token"] == pytest.approx(alike.mean(), abs=1e-6)
    assert audit.values["first layer similarity by_token"] == pytest.approx(alike[0].mean(), abs=1e-6)
    assert (audit.values["sequences"], audit.values["tokens"]) == (len(ids), np.sum(routed.lengths))
    assert audit.values["model"] == name
    misplaced = audit.values["rows_misplaced"]
    assert isinstance(misplaced, float)
    assert 0.5 < misplaced < 1


def test_the_order_of_rows_is_shown_on_the_builtin_text(
    grok: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published_code, "MODEL", str(grok))
    check(published_code.row_order(settings), str(grok))


@pytest.mark.campaign("long")
def test_the_order_of_rows_is_shown_on_the_embedded_model(settings: Settings) -> None:
    audit = published_code.row_order(settings)
    check(audit, MODEL)
    assert audit.outcome is AuditOutcome.DISAGREES


def test_they_are_known_by_the_ids_that_they_return(
    grok: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published_code, "MODEL", str(grok))
    assert [show(settings).id for show in DEMONSTRATIONS.values()] == list(DEMONSTRATIONS)
    assert not DEMONSTRATIONS.keys() & AUDITS.keys()


def test_the_model_is_of_the_family_that_the_audit_is_about() -> None:
    assert recipe(MODEL).family == "grok-1"


def test_a_model_that_is_not_there_is_one_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_code, "MODEL", "tiny-nothing")
    with pytest.raises(UsageError, match=r"^unknown model 'tiny-nothing'"):
        published_code.row_order(settings)
