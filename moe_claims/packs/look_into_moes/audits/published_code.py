"""Audits of the published code, on our own measurements of an embedded model.

They depend on the run's device only, not on its models and texts.
"""

from collections.abc import Callable

from moe_claims.settings import Settings
from moe_claims.types import Audit

MODEL = "tiny-gelu"
"""The embedded model of Grok-1's family."""
TEXT = "builtin"


def row_order(settings: Settings) -> Audit:
    """Audit of the order of rows in which the published code records the outputs of Grok-1's experts.

    Raises:
        MoeClaimsError: the embedded model is missing from the installation, or cannot be run.
    """
    from moe_claims.judge.judged_json import audit_as_json, audit_from_json
    from moe_claims.judge.kept import as_arrays, from_arrays, judgement_key
    from moe_claims.measure.row_order import measure_row_order
    from moe_claims.measure.sequences import read_text
    from moe_claims.measure.store import Store
    from moe_claims.models.device import device_of
    from moe_claims.models.forward.layerwise import LayerwiseModel
    from moe_claims.models.loading import open_model
    from moe_claims.models.names import resolve
    from moe_claims.packs.look_into_moes.audits import row_order as audit

    model = open_model(resolve(MODEL))
    read, device = read_text(model, TEXT), device_of(settings.device)

    def make() -> Audit:
        layerwise = LayerwiseModel(model.checkpoint, device=device, dtype="float32")
        return audit.row_order(measure_row_order(layerwise, read.ids))

    return Store(settings.cache).get_or_make(
        judgement_key([], audit="row-order", model=MODEL, weights=model.identity, text=read.sha256, device=device),
        make,
        lambda made: as_arrays(audit_as_json(made), {}),
        lambda kept: audit_from_json(from_arrays(kept)[0]),
    )


DEMONSTRATIONS: dict[str, Callable[[Settings], Audit]] = {"row-order": row_order}
"""The audits by id, in the order of the report."""
