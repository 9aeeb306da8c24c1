"""Short names of the plugin's options, for runs from a clone: ``pytest claims/ --model mixtral``."""

import os
import sys
from argparse import ArgumentError

import pytest

DEST = "moe_models"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where another clone's ``conftest.py`` has added it, as in a clone inside another, it is there; nobody else's."""
    taken = _taken(parser)
    if taken == DEST:
        return
    try:
        if taken is not None:
            raise ValueError(taken)
        parser.addoption(
            "--model",
            action="append",
            dest=DEST,
            metavar="NAME",
            default=None,
            help="model to judge: alias, directory, org/name[@revision] or synthetic:KIND (as --moe-model)",
        )
    except (ValueError, ArgumentError):
        if "PYTEST_XDIST_WORKER" not in os.environ:  # said once
            sys.stderr.write(
                "moe_claims: --model is an option of another conftest.py or plugin here; name models by --moe-model\n"
            )


def _taken(parser: pytest.Parser) -> str | None:
    """Where the values of an option ``--model`` go that has been added before; pytest tells it in no other way."""
    groups = [*getattr(parser, "_groups", ()), getattr(parser, "_anonymous", None)]
    options = [option for group in groups for option in getattr(group, "options", ())]
    return next((option.dest for option in options if "--model" in option.names()), None)
