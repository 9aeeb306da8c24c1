"""The claims as tests: ``pytest claims/`` in a clone, ``pytest --pyargs moe_claims.claims`` anywhere."""
