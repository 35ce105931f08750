"""Captions by a vision model: which one there is, whether it works, and one picture after the other.

A caption that comes back is text that enters prompts: it is read by `studio.safety` as such, and what crosses a line is not kept.
"""

from __future__ import annotations

import difflib
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image, ImageDraw

from studio import metadata, safety
from studio.caption_text import CaptionStyle, cleaned, instruction, said_in, traits_in
from studio.caption_ways import CaptionVerdict, local_ways, no_model
from studio.engine import Report
from studio.errors import (
    DependencyMissing,
    EngineFailed,
    EngineTimeout,
    FileTooLarge,
    ImageInvalid,
    InvalidFieldValue,
    LikenessError,
    SafetyFilter,
)
from studio.settings import Settings
from studio.vision_model import Stranger, VisionModel, blind

log = logging.getLogger(__name__)

# So often in a row a server may fail before the rest is not tried any more.
_PATIENCE = 3
_COLOURS = {"red": "#e01010", "green": "#10a020", "blue": "#1030e0", "yellow": "#f5e010", "black": "#000000", "white": "#ffffff"}


class Describer(Protocol):
    """What says something of a picture: a model behind an address, or one on this computer."""

    @property
    def sends_away(self) -> bool:
        """Whether pictures leave this computer."""
        ...

    def check_real(self) -> None:
        """Raises ConsentMissing where a real person's photo may not be shown to it."""
        ...

    def caption(self, image: Image.Image, instruction: str, *, real: bool, watch: Callable[[], None] = ...) -> str:
        """What it says of an RGB picture. `watch` is called often; what it raises ends the work. Raises LikenessError."""
        ...


@dataclass(frozen=True)
class Wanted:
    """A picture that wants a caption. `real` says that it shows a real person, or that nobody knows."""

    id: str
    path: Path
    real: bool


@dataclass(frozen=True)
class Captioned:
    """What became of one. `traits` are words of the caption that a LoRA should learn by itself; `error` says why there is no caption."""

    id: str
    caption: str = ""
    traits: tuple[str, ...] = ()
    error: LikenessError | None = None


def caption_pictures(
    wanted: Sequence[Wanted],
    describer: Describer,
    style: CaptionStyle,
    trigger: str,
    report: Report,
    *,
    max_megapixels: float,
    before: int = 0,
    still: Callable[[Wanted], bool] = lambda _: True,
) -> Iterator[Captioned]:
    """Each picture's caption as soon as it is there, or why it has none. What was given already stays good whatever comes.

    `before` are those of the same work that were done earlier and count in its progress. `still` is asked before each whether it is
    wanted yet; what it raises ends the run. Before the first one is sent it raises ConsentMissing where one of them may not be. Raises
    what `report` raises, also in the middle of a picture; and the error that no other picture would be spared: the address, the key, the
    model, the money, or that one after the other fails.
    """
    if any(one.real for one in wanted):
        describer.check_real()
    failed = 0
    every = before + len(wanted)
    for done, one in enumerate(wanted, before):

        def watch(done: int = done) -> None:
            report(done / every, f"Caption {done + 1} of {every}", step=done, steps=every)

        watch()
        if not still(one):
            continue
        try:
            yield _captioned(one, describer, style, trigger, watch, max_megapixels)
            failed = 0
        except (EngineFailed, EngineTimeout, ImageInvalid, FileTooLarge, SafetyFilter) as error:
            log.warning("No caption for %s: %s", one.id, error.message)
            # A picture that can't be read or is refused says nothing of the server.
            failed = failed + 1 if type(error) in (EngineFailed, EngineTimeout) else failed
            if failed == _PATIENCE:
                raise
            yield Captioned(one.id, error=error)
    report(1.0, "", step=every, steps=every)


def check(settings: Settings) -> CaptionVerdict:
    """Try the vision model of the settings with a small drawing, in plain words. Costs a few hundred tokens, and takes seconds.

    Of a model in the models folder it says only that it is there.
    """
    models: tuple[str, ...] = ()
    away = False
    here = local_ways(settings.models_path)
    if here and not settings.caption_url:
        return CaptionVerdict(
            ok=True,
            message=f"“{here[0].model}” lies in the models folder. It is loaded when captions are written; nothing leaves this computer.",
        )
    try:
        with VisionModel(settings, tries=1) as model:
            away = model.sends_away
            models = _listed(model)
            if not model.model:
                raise DependencyMissing(no_model().message, field="caption_model", remedy=_choose(models))
            if models and not _is_among(model.model, models):
                raise InvalidFieldValue(
                    f"There is no model “{model.model}” at {model.url}.", field="caption_model", remedy=_choose(models, model.model)
                )
            if not _sees(model):
                raise InvalidFieldValue(
                    f"“{model.model}” answers, but does not name the two colours of a drawing: it probably can't see pictures.",
                    field="caption_model",
                    remedy=blind(model.model).remedy,
                )
    except LikenessError as error:
        return CaptionVerdict(
            ok=False, message=error.message, remedy=error.remedy, field=error.field, code=error.code, models=models, sends_away=away
        )
    return CaptionVerdict(ok=True, message=f"“{settings.caption_model}” sees pictures and describes them.", models=models, sends_away=away)


def list_models(settings: Settings) -> tuple[str, ...]:
    """The models at the address of the settings, for a menu. Raises LikenessError saying what is wrong."""
    with VisionModel(settings, tries=1) as model:
        return model.list_models()


# One picture


def _captioned(
    one: Wanted, describer: Describer, style: CaptionStyle, trigger: str, watch: Callable[[], None], max_megapixels: float
) -> Captioned:
    answer = describer.caption(_opened(one.path, max_megapixels), instruction(style, trigger), real=one.real, watch=watch)
    caption = cleaned(answer, style, trigger)
    if not caption:
        raise EngineFailed("The vision model gave an empty answer.", remedy="Write this caption yourself, or try another model.")
    try:
        # What was said counts too: cleaning must not wipe away what would be refused.
        safety.check([said_in(answer), caption])
    except SafetyFilter as error:
        raise SafetyFilter(
            f"What the vision model says of this picture is not kept. {error.message}",
            field="caption",
            remedy="Look at the picture: it may not belong into the dataset. Otherwise write its caption yourself.",
        ) from error
    return Captioned(one.id, caption, traits_in(caption))


def _opened(path: Path, max_megapixels: float) -> Image.Image:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageInvalid(f"The file {path.name} is gone.", remedy="Take the picture out of the dataset, or add it again.") from error
    except OSError as error:
        raise ImageInvalid(f"The file {path.name} can't be read: {error.strerror}.") from error
    metadata.peek_upload(data, max_megapixels)
    return metadata.normalised_upload(data)


# The check


def _listed(model: VisionModel) -> tuple[str, ...]:
    try:
        return model.list_models()
    except Stranger:
        if not model.model:
            raise
        return ()  # some servers describe pictures and have no list


def _is_among(name: str, models: Sequence[str]) -> bool:
    # Ollama's list names the version that it takes anyway.
    return name in models or f"{name}:latest" in models


def _choose(models: Sequence[str], name: str = "") -> str:
    if not models:
        return "Write the model's name on the Setup tab."
    near = difflib.get_close_matches(name, models, 3, 0.5) or list(models[:5])
    return f"Choose one that is there, such as {', '.join(near)}."


def _sees(model: VisionModel) -> bool:
    """Whether it names both colours of a drawing made by chance."""
    left, right = random.sample(list(_COLOURS), 2)
    drawing = Image.new("RGB", (256, 256), _COLOURS[left])
    ImageDraw.Draw(drawing).rectangle((128, 0, 255, 255), fill=_COLOURS[right])
    said = model.caption(
        drawing,
        f"This picture has two halves, each of one colour out of: {', '.join(_COLOURS)}. Answer with the two colours alone.",
        real=False,
    )
    return left in said.casefold() and right in said.casefold()
