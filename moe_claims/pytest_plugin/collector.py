"""What the tests of a run bring together: rows, cards and errors, and the document they make."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, final

from moe_claims.pytest_plugin.attachments import handed_on
from moe_claims.settings import Settings

if TYPE_CHECKING:
    import pytest

    from moe_claims.judge.pack import Pack


@final
class Collected:
    """What the test reports bring to the controller, from its own process and from workers."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, dict[str, Any]]] = {
            kind: {} for kind in ("result", "pack", "model", "corpus", "audit", "error", "pictures")
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

    def document(self, settings: Settings, packs: "Sequence[Pack]") -> dict[str, Any]:
        """The results document, in the order of the packs, their audits and claims, and the models asked for."""
        from moe_claims.judge.registry import load
        from moe_claims.report import results
        from moe_claims.run.document import environment, order_of

        # Packs that a test file names stand behind those of the run.
        every = {pack.id: pack for pack in packs} | {row["id"]: load(row["id"]) for row in self.rows("pack")}
        return results.document(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=environment(settings),
            packs=self.rows("pack"),
            models=self.rows("model"),
            corpora=self.rows("corpus"),
            results=self.rows("result"),
            audits=self.rows("audit"),
            errors=self.rows("error"),
            order=order_of(settings, list(every.values()), self.rows("result")),
        )

    def __bool__(self) -> bool:
        return any(self.parts.values())
