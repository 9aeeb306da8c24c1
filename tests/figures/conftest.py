"""Models of 8 and of 64 experts, measured once per session, and figures drawn in the style of the files."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from moe_claims.errors import ModelError
from moe_claims.figures import style
from moe_claims.figures.data import Subject
from moe_claims.figures.gallery import layers_of, measured
from moe_claims.measure.measurer import Measurer
from moe_claims.measure.store import Forgetful
from moe_claims.models.dense import open_dense
from moe_claims.models.loading import open_model
from moe_claims.models.names import resolve
from moe_claims.settings import settings_from

SIZES = "hidden=16&intermediate=8&context=24"
FEW = f"synthetic:planted?layers=7&experts=8&{SIZES}"
MANY = f"synthetic:null?layers=3&experts=64&top_k=6&{SIZES}"
DENSE = f"synthetic:dense?layers=7&experts=8&{SIZES}"


@pytest.fixture(scope="session")
def subject() -> Callable[[str], Subject]:
    """``few``: 8 experts, seven layers, three of them drawn, with a dense reference; ``many``: 64 experts."""

    @cache
    def make(which: str) -> Subject:
        name = {"few": FEW, "many": MANY}[which]
        measurer = Measurer(settings_from({"model": [name], "tokens": "200", "device": "cpu"}), Forgetful())
        model = open_model(resolve(name))
        if which == "few":
            return measured(measurer, model, layers_of(model, (0, 4, 6)), ("F", open_dense(resolve(DENSE))))[0]
        return measured(measurer, model, layers_of(model, None), ModelError("there is nothing to compare with"))[0]

    return make


@pytest.fixture(autouse=True)
def styled() -> Iterator[None]:
    with style.style():
        yield


@pytest.fixture(scope="session")
def texts_of() -> Callable[[Any], list[str]]:
    """Every text that a figure shows, once it is laid out."""

    def texts(figure: Any) -> list[str]:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.text import Text

        FigureCanvasAgg(figure).draw()
        return [text.get_text() for text in figure.findobj(Text) if text.get_text()]

    return texts


@pytest.fixture(scope="session")
def images_of() -> Callable[[Any], list[Any]]:
    """The images of a figure, in the order in which they were drawn; colour bars are none."""
    return lambda figure: [image for axis in figure.axes for image in axis.images]
