"""The options and packs of a pytest run, each read on first use and kept with the run's configuration."""

from typing import TYPE_CHECKING

import pytest

from moe_claims.errors import UsageError
from moe_claims.models.device import check_dtype, device_of
from moe_claims.settings import OPTIONS, Settings, option_value, settings_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moe_claims.judge.pack import Pack

SETTINGS = pytest.StashKey[Settings]()
"""The run's options; not there in a run that never asked for them, as one without claims."""
_PACKS = pytest.StashKey["Sequence[Pack]"]()


def settings_of(config: pytest.Config) -> Settings:
    """The run's options, checked on first use.

    Raises:
        pytest.UsageError: an option has an unusable value.
    """
    if SETTINGS not in config.stash:
        values = {
            option.name: option_value(
                option, config.getoption(option.dest), config.getini(f"moe_{option.name.replace('-', '_')}")
            )
            for option in OPTIONS
        }
        try:
            settings = settings_from(values)
            if settings.device not in ("auto", "cpu"):  # the one option that only torch can check
                check_dtype(device_of(settings.device), settings.dtype)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
        config.stash[SETTINGS] = settings
    return config.stash[SETTINGS]


def packs_of(config: pytest.Config) -> "Sequence[Pack]":
    """The packs of the run, loaded on first use.

    Raises:
        pytest.UsageError: one is not installed or cannot be loaded.
    """
    if _PACKS not in config.stash:
        from moe_claims.judge.registry import chosen

        try:
            config.stash[_PACKS] = chosen(settings_of(config).packs)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[_PACKS]
