"""The Python interface, for notebooks and programs; its public names are those of ``moe_claims`` itself."""
