"""The claims that users run: ``pytest claims/`` in a clone, ``pytest --pyargs moe_claims.claims`` anywhere."""
