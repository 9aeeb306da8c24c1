"""The pytest plugin under its public name: ``-p moe_claims.plugin``."""

pytest_plugins = ("moe_claims.pytest_plugin.hooks",)
