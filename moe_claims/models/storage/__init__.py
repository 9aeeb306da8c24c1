"""Locates stored models and reads their tensors: from a folder, the hub's local cache, or the hub itself."""
