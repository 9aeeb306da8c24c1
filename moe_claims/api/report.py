"""``Report``: what a run found, to work with in Python; ``load`` opens one that was saved."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, final

from moe_claims.api import notebook, view
from moe_claims.api.saved_figures import SavedFigures
from moe_claims.errors import UsageError

if TYPE_CHECKING:
    import pandas


class VerdictKey(NamedTuple):
    """What identifies one test of a report."""

    model: str
    """Name of the model, as it was given."""
    claim: str
    """``pack/claim``."""
    variant: str | None
    """Which of the claim's variants; None where there is only one."""
    text: str | None
    """Name of the text; None for a claim on weights alone."""
    evidence: str
    """``live`` (measured here), or the pack's further evidence, such as ``public`` and ``trained``."""


@final
class Report:
    """What a run found: verdicts with effects, intervals and p-values, and how they came about.

    In a notebook, the last line of a cell shows it as a table.
    """

    def __init__(self, document: dict[str, Any], figures: SavedFigures | None = None) -> None:
        """A report of a results document; ``evaluate`` and ``load`` make them."""
        self._document = document
        self._figures = SavedFigures() if figures is None else figures

    @property
    def document(self) -> dict[str, Any]:
        """The results document, as ``results.json`` has it."""
        return self._document

    @property
    def verdicts(self) -> dict[VerdictKey, str]:
        """Verdict of every test, in the order of the report.

        A key is a tuple ``(model, claim, variant, text, evidence)`` with these names, ``claim`` being ``pack/claim``.
        A verdict is a word of ``moe_claims.types.Verdict``.
        """
        return {_key(row): str(row["verdict"]) for row in self._document["results"]}

    @property
    def errors(self) -> list[dict[str, Any]]:
        """Mappings with ``model``, ``claim`` and ``message``, one for each thing that could not be measured."""
        return list(self._document["errors"])

    def to_frame(self) -> "pandas.DataFrame":
        """A tidy frame, one row per test; columns are described in the documentation.

        Raises:
            MoeClaimsError: pandas is not installed; the message has the command that installs it.
        """
        try:
            import pandas
        except ImportError:
            raise UsageError("to_frame() needs pandas: pip install 'moe-claims[notebook]'") from None
        from moe_claims.api.frame import COLUMNS, record

        records = [record(row) for row in self._document["results"]]
        return pandas.DataFrame(
            {name: pandas.Series([one[name] for one in records], dtype=kind) for name, kind in COLUMNS.items()}
        )

    def show(self) -> None:
        """Shows the verdicts: a table in a terminal, HTML in a notebook."""
        if not notebook.display(self._repr_html_(), repr(self)):
            view.write(self._document)

    def save(self, folder: str | PathLike[str]) -> list[Path]:
        """Writes ``results.json``, ``report.md`` and ``report.html``, and figures if there are some.

        Args:
            folder: where to write; it is made if there is none.

        Returns:
            Paths of the three files.

        Raises:
            MoeClaimsError: the folder cannot be written.
        """
        from moe_claims.report import report_folder

        place = Path(folder)
        try:
            self._figures.write(place)
            return report_folder.write(place, self._document, self._figures.listed)
        except OSError as error:
            raise UsageError(f"'{place}' cannot be written ({error.strerror}): give another folder") from None

    def __repr__(self) -> str:
        return f"<moe_claims.Report: {view.summary(self._document)}>"

    def _repr_html_(self) -> str:
        return view.html(self._document)


def load(path: str | PathLike[str]) -> Report:
    """Opens a report that was saved, or that ``pytest claims/`` wrote.

    Args:
        path: ``results.json``, or the folder that holds it. Figures beside it belong to the report.

    Raises:
        MoeClaimsError: there is no such file, or it is no results file that this version reads.
    """
    from moe_claims.report import results

    file = Path(path)
    if file.is_dir():
        file /= "results.json"
    try:
        document = results.read(file)
    except OSError as error:
        raise UsageError(f"'{file}' cannot be read ({error.strerror}): give a results file, or its folder") from None
    results.check(document, str(file))
    return Report(document, SavedFigures.of_report(file.parent))


def _key(row: Mapping[str, Any]) -> VerdictKey:
    return VerdictKey(row["model"], row["claim"], row["variant"], row["corpus"], row["evidence"])
