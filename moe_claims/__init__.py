"""Which published claims about mixture-of-experts internals hold for a model, how strongly, how sure.

``evaluate`` judges models and ``load`` opens what was judged before: both give a ``Report``. ``measurements`` are the
numbers without a judgement, and ``figure`` draws one of the paper's figures.

Importing this package is cheap: neither torch, transformers nor scipy is loaded until
something is measured or tested.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moe_claims.api.numbers import figure, measurements
    from moe_claims.api.report import Report, load
    from moe_claims.api.run import evaluate
    from moe_claims.errors import MoeClaimsError

__version__ = "0.1.0"

__all__ = ["MoeClaimsError", "Report", "__version__", "evaluate", "figure", "load", "measurements"]

_HOMES = {
    "MoeClaimsError": "moe_claims.errors",
    "Report": "moe_claims.api.report",
    "evaluate": "moe_claims.api.run",
    "figure": "moe_claims.api.numbers",
    "load": "moe_claims.api.report",
    "measurements": "moe_claims.api.numbers",
}
"""Public name → module that it is imported from on first use."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
