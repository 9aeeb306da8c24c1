"""Small general-purpose helpers, independent of models and claims."""
