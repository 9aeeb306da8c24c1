"""What the tests of a run bring together: rows, cards and errors, and the document they make."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, final

from moe_claims.pytest_plugin.attachments import handed_on
from moe_claims.settings import Settings

if TYPE_CHECKING:
    import pytest


@final
class Collected:
    """What the test reports bring to the controller, from its own process and from workers."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, dict[str, Any]]] = {
            kind: {} for kind in ("result", "model", "corpus", "audit", "error", "pictures")
        }
        self.stopped = False
        """Whether somebody pressed Ctrl-C."""

    def pytest_keyboard_interrupt(self) -> None:
        self.stopped = True

    def pytest_runtest_logreport(self, report: "pytest.TestReport") -> None:
        """Keeps what a test attached; the same model card twice is one."""
        for kind, content in handed_on(report):
            self.parts[kind][content] = json.loads(content)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """What was attached under one kind, each once."""
        return list(self.parts[kind].values())

    def pictures(self, settings: Settings) -> list[dict[str, Any]]:
        """The figures that were drawn, in the order of the models asked for."""
        names = [ref.name for ref in settings.models]
        return sorted(self.rows("pictures"), key=lambda found: names.index(found["model"]["name"]))

    def document(self, settings: Settings) -> dict[str, Any]:
        """The results document, in the order of the registry, the audits and the models asked for."""
        from moe_claims.report import results
        from moe_claims.run.session import environment

        return results.document(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=environment(settings),
            models=self.rows("model"),
            corpora=self.rows("corpus"),
            results=self.rows("result"),
            audits=self.rows("audit"),
            errors=self.rows("error"),
            order=order_of(settings, self.rows("result")),
        )

    def __bool__(self) -> bool:
        return any(self.parts.values())


def order_of(settings: Settings, rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Rank in a report of everything that has a name: audits, claims and their variants, models and texts.

    Args:
        settings: give models and texts in the order asked for.
        rows: of the results, whose trained models are named by what they are.
    """
    from moe_claims.judge.registry import COUNTED, LIVE, PUBLIC_MODELS, TRAINED
    from moe_claims.packs.look_into_moes.audits import AUDITS
    from moe_claims.packs.look_into_moes.audits.published_code import DEMONSTRATIONS

    names = ["public", "trained", "live", *AUDITS, *DEMONSTRATIONS, *(ref.name for ref in settings.models)]
    names += [model for models in PUBLIC_MODELS.values() for model in models]
    trained = [(row["claim"], row["model"]) for row in rows if row["evidence"] == "trained"]
    names += [model for claim in TRAINED for judged, model in trained if judged == claim]
    for claim in (*LIVE.values(), *COUNTED.values(), *TRAINED.values()):
        names += [claim.id, *(variant for variant in claim.variants if variant)]
    return {name: rank for rank, name in enumerate(dict.fromkeys([*names, *settings.texts]))}
