"""Which published claims about mixture-of-experts internals hold for a model, how strongly, how sure.

Importing this package is cheap: neither torch, transformers nor scipy is loaded until
something is measured or tested.
"""

__version__ = "0.1.0"
