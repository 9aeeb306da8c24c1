"""Says in one line what is missing where pytest has not loaded the plugin that these tests need."""

import pytest


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Called before options are parsed, which without the plugin ends in an error about options that are unknown.

    Raises:
        pytest.UsageError: the plugin is not loaded.
    """
    if not pluginmanager.has_plugin("moe_claims"):
        raise pytest.UsageError(
            "these tests need the plugin moe_claims, which pytest was told not to load (by "
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD, or -p no:moe_claims): add -p moe_claims.plugin, or leave that out"
        )
