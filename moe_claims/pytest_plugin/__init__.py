"""The pytest plugin: options, one test per claim, model and text, and the report at the end."""
