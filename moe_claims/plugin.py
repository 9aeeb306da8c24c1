"""The pytest plugin under its public name: ``-p moe_claims.plugin``.

For runs in which pytest loads no plugin by itself (``PYTEST_DISABLE_PLUGIN_AUTOLOAD``); elsewhere it does no harm.
"""

import pytest


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Registers the plugin under the name of its entry point, so that pytest does not load it a second time."""
    from moe_claims.pytest_plugin import hooks

    if not pluginmanager.has_plugin("moe_claims"):
        pluginmanager.register(hooks, "moe_claims")
