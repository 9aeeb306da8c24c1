"""Runs a model layer by layer and observes its experts and routers."""
