"""The pytest plugin: options, tests by claim, model and text, and the report at the end of the run."""
