"""The starter model's commands: `python launch.py starter data|vae|train|evaluate|export|status`. docs/starter-model.md says more."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# Read by the libraries when they are imported: nothing is fetched, nobody is told.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from starter.checkpoints import Slice
from starter.config import HERE, WORKSHOP, load_config
from studio.errors import LikenessError

SHIPPED = HERE.parent / "engines" / "embedded" / "starter_model"
UNFINISHED = 3
COMMANDS = {
    "data": "draw the pictures that are learned from (needs Node.js)",
    "vae": "train the VAE, encode every picture, train the decoder once more",
    "train": "train the tokenizer, the text encoder and the denoiser",
    "evaluate": "train the reader, draw the prompts, print the table, write the grid",
    "export": "put the folder together that ships: weights, reader, card, checksums, logs",
    "all": "everything in this order, going on where the last call stopped",
    "status": "say how far each part is",
}


def main(argv: list[str]) -> int:
    """Run one command; 0 when it is through, 3 when its slice ended before, 1 after an error that was told with its remedy."""
    args = _parse(argv)
    try:
        return _run(args)
    except LikenessError as error:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        return 1


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python launch.py starter", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about)
        command.add_argument("--config", type=Path, default=HERE / "config.yaml", help="another config.yaml")
        command.add_argument("--folder", type=Path, default=WORKSHOP, help="where it comes about (.cache/starter)")
        command.add_argument("--device", choices=("cuda", "mps", "cpu"), help="what to compute on; the fastest that is there")
        command.add_argument("--minutes", type=float, help="stop after so many minutes, with a checkpoint; the next call goes on")
        command.add_argument("--steps", type=int, help="stop after so many steps (shards, in `data`)")
        command.add_argument("--threads", type=int, help="threads to compute in; side by side with other work, 1 is fastest")
        if name in ("evaluate", "all"):
            command.add_argument("--model", type=Path, help="a diffusers folder to evaluate instead of the checkpoints")
            command.add_argument("--before", type=Path, default=SHIPPED, help="the model to compare with (the one that ships)")
            command.add_argument("--no-loras", action="store_true", help="leave out the LoRAs, which take minutes")
        if name in ("export", "all"):
            command.add_argument("--to", type=Path, default=SHIPPED, help="the folder that ships")
    return parser.parse_args(argv)


def _run(args: argparse.Namespace) -> int:
    # The libraries take seconds to import: not for --help and not for what is mistyped.
    import torch

    from starter.assemble import assemble
    from starter.evaluate import evaluate
    from starter.export import export
    from starter.machine import best_device
    from starter.workshop import STAGES, Workshop

    config = load_config(args.config)
    if args.threads:
        torch.set_num_threads(args.threads)
    workshop = Workshop(args.folder, config, args.device or best_device(), Slice(args.minutes, args.steps), _say)

    def told() -> bool:
        for stage in STAGES:
            part = {"vae": config.vae, "text": config.text_encoder, "denoiser": config.denoiser, "reader": config.reader}.get(stage)
            wanted = part.schedule.samples if part else config.vae.decoder_alone.samples
            _say(f"{stage:<9} {workshop.seen(stage):>9,} of {wanted:,} samples")
        return True

    def evaluated() -> bool:
        if args.model is None and not workshop.make_reader():
            return False
        model = args.model or assemble(workshop, workshop.folder / "model")
        before = args.before if args.before.is_dir() and args.before.resolve() != model.resolve() else None
        return evaluate(model, before, config, workshop.folder, _say, loras=not args.no_loras, data=workshop.folder / "data")

    steps = {
        "data": lambda: workshop.draw(args.threads or 1),
        "vae": workshop.make_vae,
        "train": workshop.train,
        "evaluate": evaluated,
        "export": lambda: export(workshop, args.to),
        "status": told,
    }
    for name in ("data", "vae", "train", "evaluate", "export") if args.command == "all" else (args.command,):
        if not steps[name]():
            _say("Not through yet; the same command goes on.")
            return UNFINISHED
    return 0


def _say(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
