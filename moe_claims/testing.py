"""What users' own tests take from here: ``conclude``."""

from moe_claims.pytest_plugin.outcomes import conclude as conclude
