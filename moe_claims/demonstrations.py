"""Audits that need a model: what the published code does, shown on our own measurements of an embedded one.

By id and in the order of the report, behind the audits of printed numbers. They depend on the run's device
alone: neither its models nor its texts change them.
"""

from collections.abc import Callable

from moe_claims.settings import Settings
from moe_claims.types import Audit

MODEL = "tiny-gelu"
"""The embedded model of Grok-1's family."""
TEXT = "builtin"


def row_order(settings: Settings) -> Audit:
    """The order of rows in which the published code records the outputs of Grok-1's experts.

    Raises:
        MoeClaimsError: the model is missing from this installation, or cannot be run.
    """
    from moe_claims import texts
    from moe_claims.analysis import audits_row_order
    from moe_claims.measure.row_order import measure_row_order
    from moe_claims.models.device import device_of
    from moe_claims.models.forward import LayerwiseModel
    from moe_claims.models.loading import open_model
    from moe_claims.models.names import resolve

    model = open_model(resolve(MODEL))
    read = texts.tokenize(texts.load(TEXT), model.encoder(), limit=None, longest=model.context)
    texts.check_ids(read.ids, model.checkpoint.vocabulary, f"'{TEXT}' as '{MODEL}' reads it")
    layerwise = LayerwiseModel(model.checkpoint, device=device_of(settings.device), dtype="float32")
    return audits_row_order.row_order(measure_row_order(layerwise, read.ids))


DEMONSTRATIONS: dict[str, Callable[[Settings], Audit]] = {"row-order": row_order}
