"""Stands in for a submodule that the wheel does not bring."""
