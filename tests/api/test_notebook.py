"""What a notebook is asked for, with a shell that stands for IPython's: IPython is no dependency."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from matplotlib.figure import Figure

from moe_claims.api import notebook


class Formatter:
    def __init__(self, *known: type) -> None:
        self.known = known

    def lookup_by_type(self, kind: type) -> Any:
        if kind not in self.known:
            raise KeyError(kind)
        return print


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A notebook's shell that knows how to show nothing yet; ``asked`` is what it was asked to show figures as."""
    formatters = {name: Formatter() for name in notebook._IMAGES}
    made = SimpleNamespace(
        kernel=object(), display_formatter=SimpleNamespace(formatters=formatters), asked=[], shown=[]
    )
    tools = SimpleNamespace(select_figure_formats=lambda where, formats: where.asked.append(formats))
    show = SimpleNamespace(display=lambda data, *, raw: made.shown.append((data, raw)))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: made))
    monkeypatch.setitem(sys.modules, "IPython.core.pylabtools", tools)
    monkeypatch.setitem(sys.modules, "IPython.display", show)
    return made


def test_figures_are_shown_as_pictures(shell: SimpleNamespace) -> None:
    notebook.show_figures()
    assert shell.asked == [{"png"}]


def test_what_the_user_has_chosen_stays(shell: SimpleNamespace) -> None:
    shell.display_formatter.formatters["image/svg+xml"] = Formatter(Figure)
    notebook.show_figures()
    assert shell.asked == []


def test_html_goes_to_the_cell(shell: SimpleNamespace) -> None:
    assert notebook.display("<b>x</b>", "x")
    assert shell.shown == [({"text/html": "<b>x</b>", "text/plain": "x"}, True)]


@pytest.mark.parametrize("where", ["terminal", "python"])
def test_elsewhere_nothing_is_shown(where: str, shell: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython in a terminal has no kernel; plain Python has no shell."""
    shell.kernel = None
    if where == "python":
        monkeypatch.delitem(sys.modules, "IPython")
    assert not notebook.display("<b>x</b>", "x")
    notebook.show_figures()
    assert (shell.shown, shell.asked) == ([], [])
