"""Parts of the page that are drawn in the browser: custom elements of assets/, and choices whose value Gradio's handlers read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr

# Templates of gr.HTML are run as JavaScript template strings, so nothing but the element's name ever goes into one:
# what is shown travels as a property and is put into the page as text.
# A field in a part that is still closed forgets its other properties when its value is changed: its first items are kept here.
_FIELD_JS = """
const field = element.firstElementChild;
const tell = (name, value) => field.setAttribute(name, JSON.stringify(value ?? null));
const tellAll = () => { tell('items', props.items ?? first); tell('value', props.value); };
element.addEventListener('pick', (event) => { props.value = event.detail; trigger('input'); });
watch(['value', 'items'], tellAll);
tellAll();
"""


def live(tag: str, *, elem_id: str, js: str | None = None, **options: Any) -> gr.HTML:
    """A custom element that draws itself from the API."""
    return gr.HTML(html_template=f"<{tag}></{tag}>", js_on_load=js, apply_default_css=False, elem_id=elem_id, **options)


def choice(
    look: str,
    *,
    label: str,
    info: str,
    value: Any,
    items: Sequence[dict[str, Any]] = (),
    elem_id: str,
    advanced: bool = False,
    folds: bool = False,
    **options: Any,
) -> gr.HTML:
    """A field drawn by a custom element `likeness-<look>`; its value is an input and an output like any other component's.

    One that `folds` is a line with its value on a phone, and opens when it is touched.
    """
    return gr.HTML(
        value,
        label=label,
        html_template=f'<likeness-{look} label="{label}" info="{info}"{" folds" if folds else ""}></likeness-{look}>',
        js_on_load=f"const first = {json.dumps(list(items))};{_FIELD_JS}",
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes=["field", "advanced-only"] if advanced else "field",
        items=list(items),
        **options,
    )
