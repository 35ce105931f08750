"""The page: one module per tab, named as the user sees it. The only package that imports Gradio."""

from __future__ import annotations

import inspect
from typing import Any
from unittest import mock

_getfile = inspect.getfile


def _file_of(what: Any) -> str:
    """As `inspect.getfile`, but Gradio's components have no file. Raises OSError for them."""
    if type(what).__name__ == "ComponentMeta":
        raise OSError("Nothing is to be written beside it.")
    return _getfile(what)


# Gradio reads and parses the source of each of its components whenever it is imported, to write a type stub beside it, which its wheel
# brings anyway. That is over a third of the import; a component without a file is let alone.
with mock.patch("inspect.getfile", _file_of):
    import gradio as _gradio  # noqa: F401
