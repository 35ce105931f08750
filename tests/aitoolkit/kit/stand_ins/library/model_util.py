"""Stands in for a submodule that the wheel doesn't bring: every name is an empty class, none is used."""


def __getattr__(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})
