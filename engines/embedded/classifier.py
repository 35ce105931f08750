"""The image classifier that looks at edits of real people's photos: any image-classification model in the layout of transformers.

Importing it imports no torch. A model is loaded for a job that needs it and forgotten after it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL.Image import Image

from studio.errors import ModelInvalid, ModelUnsafe
from studio.shelf import require_classifier

# Words of a label that mean a picture which nobody makes of a real person here. "Sexy" is one: sexualising is what is to be kept out.
EXPLICIT_WORDS = frozenset(
    "nsfw porn porno pornographic pornography explicit sexy sexual nude nudes nudity naked hentai unsafe erotic erotica xxx".split()  # noqa: SIM905
)
DENYING_WORDS = frozenset({"no", "non", "not", "none", "without", "never"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_FIT = "Choose an image-classification model with a label such as “nsfw” or “porn” beside one such as “normal”; docs/safety.md names one."


class Classifier:
    """A Judge: says how likely a picture is explicit."""

    def __init__(self, model: Any, processor: Any, explicit: tuple[int, ...]) -> None:
        self._model = model
        self._processor = processor
        self._explicit = list(explicit)

    def explicit(self, image: Image) -> float:
        """The score of the explicit labels, 0 to 1: their sum, or the highest where labels don't exclude each other."""
        import torch

        with torch.inference_mode():
            seen = self._processor(images=image.convert("RGB"), return_tensors="pt")
            scores = self._model(**seen).logits[0].float()
        if _labels_are_apart(self._model.config):
            return float(torch.sigmoid(scores)[self._explicit].max())
        return float(torch.softmax(scores, dim=-1)[self._explicit].sum())


def load_judge(data: Path) -> Classifier:
    """The classifier of a data folder, on the CPU, from local safetensors files and without code of the model's own.

    Raises SafetyFilter when there is none, ModelUnsafe or ModelInvalid when it can't be used.
    """
    folder = require_classifier(data)
    if not any(folder.glob("*.safetensors")):
        if any(folder.glob("*.bin")):
            raise ModelUnsafe(f"The image classifier in {folder.name!r} is a pickle file, which can run code when it is opened.")
        raise ModelInvalid(f"The image classifier in {folder.name!r} has no .safetensors file.")
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        # The PIL processors need no torchvision.
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil", **here)
        model, report = AutoModelForImageClassification.from_pretrained(folder, use_safetensors=True, output_loading_info=True, **here)
    except Exception as error:
        raise ModelInvalid(f"The image classifier in {folder.name!r} can't be loaded: {_first_line(error)}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        # What is missing would be made up at random, and so would be every verdict.
        raise ModelInvalid(f"The image classifier in {folder.name!r} lacks {len(missing)} of its weights, such as {missing[0]}.")
    return Classifier(model.eval(), processor, _explicit_labels(model.config, folder.name))


def means_explicit(label: str) -> bool:
    """Whether a label's words mean an explicit picture: "NSFW", "porn_images" and "unsafe" do, "safe" and "non-nude" don't."""
    words = {word.lower() for word in _WORD.findall(label)}
    return bool(words & EXPLICIT_WORDS) and not words & DENYING_WORDS


def _explicit_labels(config: Any, name: str) -> tuple[int, ...]:
    labels: Mapping[int, str] = {int(number): str(label) for number, label in config.id2label.items()}
    explicit = tuple(number for number, label in labels.items() if means_explicit(label))
    if not explicit:
        said = ", ".join(list(labels.values())[:5])
        raise ModelInvalid(f"The image classifier in {name!r} has no label that means an explicit picture: {said}.", remedy=_FIT)
    if len(explicit) == len(labels) and not _labels_are_apart(config):
        raise ModelInvalid(f"The image classifier in {name!r} has no label for a picture that is not explicit.", remedy=_FIT)
    return explicit


def _labels_are_apart(config: Any) -> bool:
    return config.problem_type == "multi_label_classification" or len(config.id2label) == 1


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
