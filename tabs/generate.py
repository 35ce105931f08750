"""The Generate tab: the form and the stage, and which handler hears what."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gradio as gr

from studio.contracts import ModelSpec, Quality, SamplingChoice, Tone
from studio.errors import LikenessError
from studio.models import embedded_sampling
from studio.studio import Studio
from tabs.form import (
    MOST_PICTURES,
    OPEN,
    QUALITIES,
    SHAPES,
    Hints,
    cards,
    chosen_of,
    hints,
    on_character,
    on_choice,
    on_generate,
    on_recall,
    on_reuse,
    on_source,
    sampling_of,
    shape_of,
)
from tabs.languages import later, t
from tabs.live import choice, live


def build(studio: Studio, blocks: gr.Blocks, tabs: gr.Tabs) -> None:
    """Draw the tab and connect it. `tabs` is told to come here when a picture's settings are to be used."""
    with gr.Row(elem_id="workbench"):
        with gr.Column(elem_id="form", min_width=0):
            form = _draw_form(studio)
        live("likeness-stage", elem_id="stage")
    _tell_expert_values(form)
    _connect(studio, blocks, tabs, form, {name: _bridge(name) for name in ("outcome", "reuse", "recall", "models")})


def _draw_form(studio: Studio) -> dict[str, Any]:
    models = studio.models()
    hint = hints(models[0], None)
    form: dict[str, Any] = {}
    with gr.Column(elem_id="fields", min_width=0):
        form["character"] = choice(
            "who",
            label=later("Character"),
            info=later("Whom the picture shows. Their looks, trigger word, LoRA and negative prompt are added for you."),
            value="",
            elem_id="field-character",
        )
        form["variant"] = choice(
            "looks",
            label=later("Face"),
            info=later("A look of the character, drawn over the face of each finished picture by a LoRA of its own."),
            value="",
            elem_id="field-variant",
        )
        form["prompt"] = gr.Textbox(
            label=t("Prompt"),
            info=t(
                "What the picture shows, in your own words. The starter model knows hair, skin, clothes, glasses, backgrounds and styles."
            ),
            placeholder=t("portrait of a person with long red hair, round glasses, wearing a green hoodie, flat avatar style"),
            lines=4,
            max_lines=12,
            max_length=10_000,
            elem_id="field-prompt",
        )
        form["negative_prompt"] = gr.Textbox(
            label=t("Negative prompt"),
            info=t("What should not be in the picture. The preset adds its own words to these."),
            placeholder=t("blurry, extra fingers"),
            lines=1,
            max_lines=6,
            max_length=10_000,
            elem_id="field-negative_prompt",
            elem_classes="advanced-only",
        )
        form["written"] = choice(
            "written",
            label=later("What the engine reads"),
            info=later(
                "Your words together with those of character, preset and style; a made-up word like nova_lk is the trigger word. "
                "Change them and they are taken exactly as they stand."
            ),
            value=None,
            elem_id="field-written",
        )
        with gr.Accordion(t("Start from a picture"), open=False, elem_id="starting"):
            form["source"] = choice(
                "source",
                label=later("Picture to start from"),
                info=later("The new picture keeps its composition. Paint a mask to draw only a part of it anew."),
                value=None,
                elem_id="field-source",
            )
            form["references"] = choice(
                "references",
                label=later("References"),
                info=later("Poses, places and outfits from your library. Each makes pictures of its own, with its own caption."),
                value=None,
                elem_id="field-references",
            )
        form["preset"] = choice(
            "cards",
            label=later("Preset"),
            info=later(
                "Size, steps and sampling that suit a purpose, with a few words of its own. What the chosen one is good for stands below."
            ),
            value="",
            items=cards(studio, None),
            elem_id="field-preset",
            folds=True,
        )
        form["style"] = choice(
            "styles",
            label=later("Style"),
            info=later("How it is drawn, with any preset: the style's words take the place of the preset's own style."),
            value="",
            items=cards(studio, None),
            elem_id="field-style",
            folds=True,
        )
        form["shape"] = choice(
            "shapes",
            label=later("Shape"),
            info=later("Width to height of the picture. The size in pixels is the one the model draws best."),
            value=SHAPES[0].id,
            items=hint.shapes,
            elem_id="field-shape",
            folds=True,
        )
        with gr.Row(elem_id="how-many", elem_classes="pair"):
            form["count"] = choice(
                "stepper",
                label=later("Pictures"),
                info=later("How many to make at once, each from the next seed."),
                value=1,
                items=[{"id": "1"}, {"id": str(MOST_PICTURES)}],
                elem_id="field-count",
            )
            form["quality"] = choice(
                "segments",
                label=later("Quality"),
                info=later("How much time a picture may take."),
                value=Quality.standard.value,
                items=[{"id": quality.value, "name": name, "about": about} for quality, name, about in QUALITIES],
                elem_id="field-quality",
            )
        form["seed"] = choice(
            "seed",
            label=later("Seed"),
            info=later("Where the randomness starts. The same seed and settings give the same picture; empty takes a new one each time."),
            value=None,
            items=[{"hint": later("Random")}],
            elem_id="field-seed",
            folds=True,
        )
        with gr.Accordion(t("More settings"), open=False, elem_id="advanced"):
            _draw_advanced(form, models, hint)
        # In the simple view those fields are out of sight; what they hold still counts, and that is said.
        live("likeness-counting", elem_id="counting")
    with gr.Column(elem_id="go", min_width=0):
        live("likeness-offline", elem_id="offline")
        form["generate"] = gr.Button(t("Generate"), variant="primary", elem_id="make")
    return form


def _draw_advanced(form: dict[str, Any], models: Sequence[ModelSpec], hint: Hints) -> None:
    with gr.Row(elem_classes=_EXPERT_PAIR):
        form["variations"] = choice(
            "stepper",
            label=later("Variations"),
            info=later("How many jobs to make of each reference and each grid cell, with the next seeds."),
            value=1,
            items=[{"id": "1"}, {"id": "5"}],
            elem_id="field-variations",
        )
        form["wildcards"] = choice(
            "segments",
            label=later("Alternatives in prompts"),
            info=later("{red|blue} takes one of the words, __hair__ a line of the file wildcards/hair.txt, for each picture anew."),
            value="true",
            items=[
                {"id": "true", "name": later("Resolve"), "about": later("Choose one for each picture.")},
                {"id": "false", "name": later("Leave"), "about": later("Take the prompt literally.")},
            ],
            elem_id="field-wildcards",
        )
    form["grid"] = choice(
        "grid",
        label=later("Grid"),
        info=later("The same picture with one or two settings varied, side by side, all from one seed."),
        value=None,
        elem_id="field-grid",
        advanced=True,
    )
    form["model"] = gr.Dropdown(
        _model_choices(models),
        value=models[0].id,
        label=t("Model"),
        info=t("The checkpoint that draws. Put more of them into the folder “models” of your data folder."),
        filterable=False,
        elem_id="field-model",
    )
    form["workflow"] = choice(
        "workflow",
        label=later("Workflow"),
        info=later("The ComfyUI graph that makes the picture. Import your own: its inputs become fields here."),
        value=None,
        elem_id="field-workflow",
        advanced=True,
    )
    sampling = embedded_sampling(models[0])
    for pair in (_SIZES, _STRENGTHS):
        with gr.Row(elem_classes=_EXPERT_PAIR):
            for name, label, info in pair:
                form[name] = choice(
                    "number", label=label, info=info, value=None, items=_hint(getattr(hint, name)), elem_id=f"field-{name}", min_width=0
                )
    with gr.Row(elem_classes=_EXPERT_PAIR):
        for name, label, info, choices in (
            ("sampler", t("Sampler"), t("The method that takes the noise away, step by step."), sampling.samplers),
            ("scheduler", t("Scheduler"), t("How the steps are spread between noise and picture."), sampling.schedulers),
        ):
            form[name] = gr.Dropdown(
                _choices(choices),
                value=OPEN,
                label=label,
                info=info,
                filterable=False,
                min_width=0,
                elem_id=f"field-{name}",
            )
    form["grain"] = choice(
        "number",
        label=later("Film grain"),
        info=later("Laid over the finished picture, 0 to 1; it follows from the seed. Empty: as the preset says."),
        value=None,
        items=_hint(hint.grain),
        elem_id="field-grain",
        advanced=True,
    )
    with gr.Row(elem_classes=_EXPERT_PAIR):
        form["tone"] = gr.Dropdown(
            [(later("As the preset says"), OPEN), *((name, tone.value) for tone, name in _TONES)],
            value=OPEN,
            label=t("Tone mapping"),
            info=t("How light and dark are spread in the finished picture. Reinhard rolls off highlights and opens shadows."),
            filterable=False,
            min_width=0,
            elem_id="field-tone",
        )
        form["tone_strength"] = choice(
            "number",
            label=later("Tone strength"),
            info=later("How much of the tone mapping is taken, 0 to 1. Empty: as the preset says, otherwise all of it."),
            value=None,
            items=_hint(hint.tone_strength),
            elem_id="field-tone_strength",
            min_width=0,
        )
    form["loras"] = choice(
        "loras",
        label=later("LoRAs"),
        info=later("Small additions that teach the model a style or a person. Strength 1 is as trained."),
        value=[],
        elem_id="field-loras",
    )
    for name, label, info in (
        ("prompt_suffix", t("Prompt suffix"), t("Added to the end of the prompt, after the preset's own words.")),
        ("negative_suffix", t("Negative suffix"), t("Added to the end of the negative prompt.")),
    ):
        form[name] = gr.Textbox(
            label=label, info=info, lines=1, max_lines=4, max_length=10_000, elem_id=f"field-{name}", elem_classes="advanced-only"
        )


def _hint(words: str) -> list[dict[str, str]]:
    return [{"hint": words}]


def _bridge(name: str) -> gr.HTML:
    """A part nobody sees: it passes a value from the page's scripts to a handler, or from one to them (`outcome`)."""
    return gr.HTML(
        None,
        html_template="<span></span>",
        js_on_load=f"""
document.addEventListener('likeness:{name}', (event) => {{ props.value = event.detail; trigger('submit'); }});
watch('value', () => document.dispatchEvent(new CustomEvent('likeness:{name}-answer', {{ detail: props.value }})));
document.documentElement.toggleAttribute('data-{name}', true);
document.dispatchEvent(new CustomEvent('likeness:{name}-ready'));
""",
        visible="hidden",
        apply_default_css=False,
        elem_id=f"bridge-{name}",
    )


def _tell_expert_values(form: Mapping[str, Any]) -> None:
    """Whenever the page asks, tell it what the fields of the advanced view hold; they may not be drawn."""
    asked = gr.HTML(
        None,
        html_template="<span></span>",
        js_on_load="document.addEventListener('likeness:count', () => trigger('submit')); setTimeout(() => trigger('submit'), 0);",
        visible="hidden",
        apply_default_css=False,
        elem_id="bridge-count",
    )
    asked.submit(
        None,
        [form[name] for name in _EXPERT],
        None,
        js=f"""(...values) => {{
    const held = Object.fromEntries({list(_EXPERT)}.map((name, place) => [name, values[place]]));
    document.dispatchEvent(new CustomEvent('likeness:counted', {{ detail: held }}));
}}""",
        show_progress="hidden",
    )


def _connect(studio: Studio, blocks: gr.Blocks, tabs: gr.Tabs, form: dict[str, Any], bridges: Mapping[str, gr.HTML]) -> None:
    quick: dict[str, Any] = {"queue": False, "concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
    button, outcome, reuse, recall = form.pop("generate"), *(bridges[name] for name in ("outcome", "reuse", "recall"))
    hinted = ("shape", "width", "height", "steps", "cfg", "grain", "tone_strength")

    def clicked(*values: Any) -> dict[str, Any]:
        return on_generate(studio, dict(zip(form, values, strict=True))).model_dump(mode="json")

    def preset_chosen(preset: str, model: str, workflow: Any = None, style: str = OPEN, shape: str | None = None) -> list[Any]:
        _, own = chosen_of(studio, {"preset": preset, "model": model, "workflow": workflow})
        if own is None or not own.width or not own.height:
            return style_chosen(preset, model, workflow, style, shape)
        # A preset comes with its own size; what was typed or picked before makes way.
        shape = shape_of(own.width, own.height)
        shown = style_chosen(preset, model, workflow, style, shape)
        shown[0]["value"] = shape
        shown[1]["value"] = shown[2]["value"] = None
        return shown

    def style_chosen(preset: str, model: str, workflow: Any = None, style: str = OPEN, shape: str | None = None) -> list[Any]:
        return _shown(on_choice(studio, preset, model, workflow, style, shape))

    def model_chosen(
        preset: str, model: str, workflow: Any, style: str, shape: str | None, sampler: str = OPEN, scheduler: str = OPEN
    ) -> list[Any]:
        found = gr.update(items=cards(studio, model))
        return [*style_chosen(preset, model, workflow, style, shape), found, found, *_sampled(studio, model, workflow, sampler, scheduler)]

    def models_changed(model: str, workflow: Any, sampler: str, scheduler: str) -> list[Any]:
        found = gr.update(items=cards(studio, model))
        return [_refresh_models(studio, model), found, found, *_sampled(studio, model, workflow, sampler, scheduler, keep=True)]

    def reused(picture_id: str) -> list[Any]:
        try:
            settings = on_reuse(studio, picture_id)
            hint = on_choice(studio, settings["preset"], settings["model"], settings["workflow"], settings["style"], settings["shape"])
        except LikenessError as error:
            raise gr.Error(f"{error.message} {error.remedy}", title="These settings can't be used") from error
        return [*filled(settings, hint), gr.update(selected="generate"), {"taken": picture_id}]

    def recalled(kept: Any) -> list[Any]:
        try:
            settings = on_recall(studio, kept)
            hint = on_choice(studio, settings["preset"], settings["model"], settings["workflow"], settings["style"], settings["shape"])
        except LikenessError:
            return [gr.skip()] * len(form)
        return filled(settings, hint)

    def filled(settings: Mapping[str, Any], hint: Hints) -> list[Any]:
        updates = {name: gr.update(value=settings[name]) for name in form}
        for name, shown in zip(hinted, _shown(hint), strict=True):
            updates[name] |= shown
        for name in ("preset", "style"):
            updates[name] |= gr.update(items=cards(studio, settings["model"]))
        menus = _sampled(studio, settings["model"], settings["workflow"], settings["sampler"], settings["scheduler"], keep=True)
        for name, menu in zip(("sampler", "scheduler"), menus, strict=True):
            updates[name] |= menu
        return list(updates.values())

    button.click(clicked, list(form.values()), outcome, trigger_mode="multiple", **quick)
    chosen = [form["preset"], form["model"]]
    drawn = [*chosen, form["workflow"], form["style"], form["shape"]]
    form["character"].input(
        lambda *chosen: on_character(studio, *chosen),
        [form["character"], form["preset"]],
        form["preset"],
        trigger_mode="always_last",
        **quick,
    ).then(preset_chosen, drawn, [form[name] for name in hinted], **quick)
    form["source"].input(
        lambda *given: on_source(studio, *given),
        [form["source"], *chosen],
        [form["shape"], form["width"], form["height"]],
        trigger_mode="always_last",
        **quick,
    )
    form["preset"].input(preset_chosen, drawn, [form[name] for name in hinted], trigger_mode="always_last", **quick)
    form["style"].input(style_chosen, drawn, [form[name] for name in hinted], trigger_mode="always_last", **quick)
    sides = [form["width"], form["height"]]
    form["shape"].input(lambda *now: style_chosen(*now)[1:3], drawn, sides, trigger_mode="always_last", **quick)
    menus = [form["sampler"], form["scheduler"]]
    seen = [*(form[name] for name in hinted), form["preset"], form["style"], *menus]
    form["model"].input(model_chosen, [*drawn, *menus], seen, trigger_mode="always_last", **quick)
    form["workflow"].input(model_chosen, [*drawn, *menus], seen, trigger_mode="always_last", **quick)
    recall.submit(recalled, recall, list(form.values()), **quick).then(
        None, None, None, js="() => { document.dispatchEvent(new CustomEvent('likeness:count')); }", show_progress="hidden"
    )
    for name in ("model", "sampler", "scheduler", "tone"):
        form[name].change(None, form[name], None, js=_TELL_JS.replace("NAME", name), show_progress="hidden")
    # A shape that is picked by hand wins over pixels that were typed before.
    form["shape"].input(None, None, sides, js="() => [null, null]", show_progress="hidden")
    reuse.submit(reused, reuse, [*form.values(), tabs, reuse], trigger_mode="always_last", **quick)
    # Models that were put into the folder since the studio started, and those of servers that came or went while the page was open.
    blocks.load(functools.partial(_refresh_models, studio), None, form["model"], **quick)
    bridges["models"].submit(
        models_changed,
        [form["model"], form["workflow"], *menus],
        [form["model"], form["preset"], form["style"], *menus],
        trigger_mode="always_last",
        **quick,
    )


# What a menu holds is known to Gradio alone: for draft.js, which keeps it over a reload, and whatever depends on the model.
_TELL_JS = """(value) => {
    document.dispatchEvent(new CustomEvent('likeness:menu', { detail: { name: 'NAME', value } }));
    return [];
}"""


def _refresh_models(studio: Studio, chosen: str = "") -> Any:
    choices = _model_choices(studio.models())
    if chosen and chosen not in {model for _, model in choices}:
        # Its server went away and may come back: what was chosen stays, and the Generate button's place says what is the matter.
        choices.append((chosen.rpartition("/")[2].removesuffix(".safetensors") + " (ComfyUI)", chosen))
    return gr.update(choices=choices)


def _sampled(
    studio: Studio, model: str, workflow: Mapping[str, Any] | None, sampler: str, scheduler: str, *, keep: bool = False
) -> list[dict[str, Any]]:
    """The menus of samplers and schedulers for a model or a workflow. What is chosen and not among them stays where it is to `keep`."""
    menus: list[dict[str, Any]] = []
    for chosen, offered in zip((sampler, scheduler), sampling_of(studio, model, workflow), strict=True):
        known = chosen in {OPEN, *(choice.id for choice in offered)}
        kept = [] if known or not keep else [(chosen, chosen)]
        menus.append(gr.update(choices=[*_choices(offered), *kept], value=chosen if known or keep else OPEN))
    return menus


def _choices(offered: Iterable[SamplingChoice]) -> list[tuple[str, str]]:
    return [(later("As the preset says"), OPEN), *((choice.name, choice.id) for choice in offered)]


def _shown(hint: Hints) -> list[dict[str, Any]]:
    return [gr.update(items=hint.shapes), *(gr.update(items=_hint(words)) for words in hint[1:])]


def _model_choices(models: Sequence[ModelSpec]) -> list[tuple[str, str | int | float]]:
    # Names alone: the page fills in no texts of Gradio's own menus.
    return [(model.name if model.engine == "embedded" else f"{model.name} (ComfyUI)", model.id) for model in models]


_SIZES = (
    ("width", later("Width"), later("In pixels. Empty: as the shape says.")),
    ("height", later("Height"), later("In pixels. Empty: as the shape says.")),
)
_STRENGTHS = (
    (
        "steps",
        later("Steps"),
        later("How many times the picture is refined, 1 to 150. Empty: as the preset, the model and the quality say."),
    ),
    ("cfg", later("CFG scale"), later("How closely the prompt is followed, 0 to 30. Low is free, high is literal and harsh.")),
)
_TONES = ((Tone.none, later("None")), (Tone.reinhard, later("Reinhard")))
_EXPERT_PAIR = ["pair", "advanced-only"]
# The fields that only the advanced view shows, as they stand there.
_EXPERT = (
    "negative_prompt",
    "variations",
    "wildcards",
    "grid",
    "workflow",
    "width",
    "height",
    "steps",
    "cfg",
    "sampler",
    "scheduler",
    "grain",
    "tone",
    "tone_strength",
    "prompt_suffix",
    "negative_suffix",
)
