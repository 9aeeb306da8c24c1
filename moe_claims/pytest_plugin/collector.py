"""``Collected``: collects rows, cards and errors of all tests of a run, and makes the results document."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import pytest

from moe_claims.pytest_plugin.attachments import attachments_of
from moe_claims.settings import Settings

if TYPE_CHECKING:
    from moe_claims.judge.pack import Pack


@final
class Collected:
    """Collects the rows of all test reports in the controller process, also from xdist workers.

    Attributes:
        parts: kind → JSON → row.
        stopped: whether the run was interrupted by Ctrl-C.
    """

    def __init__(self) -> None:
        """Starts without rows."""
        self.parts: dict[str, dict[str, dict[str, Any]]] = {
            kind: {} for kind in ("result", "pack", "model", "corpus", "audit", "error", "pictures")
        }
        self.stopped = False

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Notes that somebody stopped the run; pytest stops it in the same way after errors of collection."""
        self.stopped = type(excinfo.value) is KeyboardInterrupt

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Adds the rows of a test report; identical rows, such as cards of one model, are kept once."""
        for kind, content in attachments_of(report):
            self.parts[kind][content] = json.loads(content)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """The rows of one kind, each once."""
        return list(self.parts[kind].values())

    def pictures(self, settings: Settings) -> list[dict[str, Any]]:
        """The figures that were drawn, in the order of the run's models."""
        names = [ref.name for ref in settings.models]
        return sorted(self.rows("pictures"), key=lambda found: names.index(found["model"]["name"]))

    def document(self, settings: Settings, packs: "Sequence[Pack]") -> dict[str, Any]:
        """The results document, ordered by packs, their audits and claims, and the run's models."""
        from moe_claims.judge.registry import load
        from moe_claims.run.document import command, document_of

        # Packs that only a test file names come after those of the run.
        every = {pack.id: pack for pack in packs} | {row["id"]: load(row["id"]) for row in self.rows("pack")}
        parts = {kind: self.rows(kind) for kind in self.parts}
        return document_of(settings, list(every.values()), parts, command=command(settings))

    def __bool__(self) -> bool:
        """Whether any row was collected."""
        return any(self.parts.values())


COLLECTED = pytest.StashKey[Collected]()
"""The rows of the run."""
