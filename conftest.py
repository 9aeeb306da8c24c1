"""Short names of the plugin's options, for runs from a clone: ``pytest claims/ --model mixtral``."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--model",
        action="append",
        dest="moe_models",
        metavar="NAME",
        default=None,
        help="model to judge: alias, directory, org/name[@revision] or synthetic:KIND (as --moe-model)",
    )
