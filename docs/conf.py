"""How the site is built, without a network: ``python -m sphinx -W --keep-going -n docs site``."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

from moe_claims import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "moe_claims"
author = "The moe_claims developers"
release = __version__
extensions = ["myst_parser", "mathml", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# Types of Python and of other libraries have no page here, and the names of ours that hints use say what they are.
nitpick_ignore_regex = [("py:.*", ".*")]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # '#some-heading', as GitHub has it
exclude_patterns = ["_ext"]

html_theme = "furo"
html_title = f"moe_claims {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_copyright = False
html_domain_indices = False
html_use_index = False


def files_of_the_repository(app: Sphinx, page: str, source: list[str]) -> None:
    """Links out of docs/, such as to a model's card, become downloads: what they name is no page of the site."""
    source[0] = source[0].replace("](../", "](path:../")


def setup(app: Sphinx) -> None:
    """What no setting says."""
    app.connect("source-read", files_of_the_repository)
