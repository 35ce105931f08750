"""Captions by a vision model on this computer: any image-to-text model in the layout of transformers that lies in the models folder.

Importing it imports no torch. A model is loaded for a job and forgotten after it. Two kinds are known: those that are told what to write
(Qwen-VL, LLaVA, Gemma, SmolVLM …, with a chat template), and those that caption as they were taught (BLIP, GIT, ViT-GPT2).
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL.Image import Image, Resampling

from studio.caption_ways import require_captioner
from studio.errors import DependencyMissing, ModelInvalid, ModelUnsafe, OutOfMemory
from studio.settings import Settings

log = logging.getLogger(__name__)

# Read by transformers when it is imported: nothing is fetched, nobody is told.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

_LONGEST = 200
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class LocalCaptioner:
    """A Describer: says something of a picture without it leaving this computer. Of one thread at a time."""

    sends_away = False

    def __init__(self, model: Any, eyes: Any, words: Any, *, chats: bool, side: int) -> None:
        """`eyes` makes tensors of a picture, `words` text of tokens; a processor is both. `chats` says that it takes an instruction."""
        self._model, self._eyes, self._words = model, eyes, words
        self._chats, self._side = chats, side
        text = model.config.get_text_config(decoder=True)
        places = getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None)
        # Models that only caption have few places for words; those that chat have thousands.
        self._longest = _LONGEST if chats or not places else min(_LONGEST, places - 2)

    @property
    def follows(self) -> bool:
        """Whether it does what the instruction says; others caption as they were taught, and name hair and eyes."""
        return self._chats

    def check_real(self) -> None:
        """Any picture may be shown to it: none leaves this computer."""

    def caption(self, image: Image, instruction: str, *, real: bool = False, watch: Callable[[], None] = lambda: None) -> str:
        """What the model says of an RGB picture. `watch` is called with every word; what it raises ends the work. Raises OutOfMemory."""
        import torch
        from transformers import StoppingCriteriaList

        def look(tokens: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
            watch()
            return torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)

        watch()
        seen = self._seen(_shrunk(image.convert("RGB"), self._side), instruction).to(self._model.device, self._model.dtype)
        try:
            with torch.inference_mode():
                tokens = self._model.generate(
                    **seen, max_new_tokens=self._longest, do_sample=False, stopping_criteria=StoppingCriteriaList([look])
                )
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemory(
                "There is not enough memory for the captioning model.", remedy="Choose a smaller one, or close other programs."
            ) from error
        if self._chats:
            # What was asked comes first in what is given back.
            tokens = tokens[:, seen["input_ids"].shape[1] :]
        return self._words.batch_decode(tokens, skip_special_tokens=True)[0].strip()

    def _seen(self, image: Image, instruction: str) -> Any:
        if not self._chats:
            return self._eyes(images=image, return_tensors="pt")
        asked = [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": instruction}]}]
        return self._eyes.apply_chat_template(asked, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt")


def load_captioner(settings: Settings, name: str = "") -> LocalCaptioner:
    """The captioning model of that name in the models folder, or the first: from local safetensors files, without code of its own.

    Raises DependencyMissing when there is none or no such device, ModelUnsafe or ModelInvalid when it can't be used, OutOfMemory.
    """
    folder = require_captioner(settings.models_path, name)
    if not any(folder.glob("*.safetensors")):
        if any(path for kind in _PICKLES for path in folder.glob(kind)):
            raise ModelUnsafe(f"The captioning model in “{folder.name}” is a pickle file, which can run code when it is opened.")
        raise ModelInvalid(f"The captioning model in “{folder.name}” has no .safetensors file.")
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer
    from transformers.utils import logging as words_of_transformers

    words_of_transformers.disable_progress_bar()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    device = _device(settings.device)
    here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        if _kind(folder) == "vision-encoder-decoder":
            eyes: Any = AutoImageProcessor.from_pretrained(folder, backend="pil", **here)
            words: Any = AutoTokenizer.from_pretrained(folder, **here)
        else:
            eyes = words = AutoProcessor.from_pretrained(folder, backend="pil", **here)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            folder, use_safetensors=True, dtype=_numbers(settings.dtype, device), output_loading_info=True, **here
        )
        model, report = loaded[0].to(device), loaded[1]
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(
            f"There is not enough memory for the captioning model “{folder.name}”.", remedy="Choose a smaller one, or close other programs."
        ) from error
    except Exception as error:
        raise ModelInvalid(f"The captioning model in “{folder.name}” can't be loaded: {_first_line(error)}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        # What is missing would be made up at random, and so would be every caption.
        raise ModelInvalid(f"The captioning model in “{folder.name}” lacks {len(missing)} of its weights, such as {missing[0]}.")
    chats = bool(getattr(eyes, "chat_template", None))
    log.info("Captions by %s on %s%s", folder.name, device, "" if chats else ", as it was taught")
    return LocalCaptioner(model.eval(), eyes, words, chats=chats, side=settings.caption_side)


def _device(wanted: str) -> str:
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    device = next(name for name, ready in there.items() if ready) if wanted == "auto" else wanted
    if not there[device]:
        raise DependencyMissing(f"There is no {device} device here.", remedy="Set LIKENESS_DEVICE=auto, or install its driver.")
    return device


def _numbers(wanted: str, device: str) -> Any:
    import torch

    named = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return named.get(wanted) or {"cuda": torch.bfloat16, "mps": torch.float16}.get(device, torch.float32)


def _kind(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", ""))


def _shrunk(image: Image, side: int) -> Image:
    if max(image.size) <= side:
        return image
    scale = side / max(image.size)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Resampling.LANCZOS)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
