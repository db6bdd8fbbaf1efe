"""Train the small model: `python -m splatscope.restyle.mini --help`. Interrupted, the same command goes on."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny

from splatscope.classes import read_class_table
from splatscope.files import write_json
from splatscope.restyle.look import measure_look
from splatscope.restyle.mini.autoencoder import Taef2, fold_moments, narrow, shallow_features, start_from, tune_decoder
from splatscope.restyle.mini.captions import vocabulary
from splatscope.restyle.mini.folder import write_model
from splatscope.restyle.mini.material import (
    encode,
    load_pictures,
    operations,
    pictures,
    real_frames,
    save_pictures,
    training_images,
)
from splatscope.restyle.mini.networks import MiniShape, write_tokenizer
from splatscope.restyle.mini.training import Recipe, Training, train

NARROW_STEPS, DECODER_STEPS = 1500, 400


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    began = time.monotonic()

    def log(line: str) -> None:
        print(f"{time.monotonic() - began:7.0f} s  {line}", flush=True)

    work: Path = arguments.work
    classes = read_class_table(arguments.classes)
    names = {number: name for name, number in classes.items()}
    teaching, held_out = operations(arguments.real)
    log(f"operations that teach: {', '.join(teaching)}; held out: {', '.join(held_out)}")

    vae_folder, cache = work / "vae", work / "pictures.safetensors"
    if not vae_folder.is_dir():
        _train_autoencoder(arguments, teaching, log).save_pretrained(vae_folder)
    vae = AutoencoderTiny.from_pretrained(vae_folder).to(memory_format=torch.channels_last)
    if not cache.is_file():
        log("encoding the pictures")
        rng = np.random.default_rng(arguments.seed)
        made = pictures(real_frames(arguments.real, teaching), arguments.shards, names, arguments.every, rng)
        save_pictures(cache, encode(vae, made))

    shape = MiniShape()
    tokenizer = write_tokenizer(work / "tokenizer", vocabulary(classes), shape.text_tokens)
    training = Training(Recipe(steps=arguments.steps, seed=arguments.seed), shape, tokenizer, load_pictures(cache))
    state = work / "training.pt"
    if state.is_file():
        training.load(state)
        log(f"going on from step {training.step_number}")
    end = began + 60 * arguments.minutes
    train(training, state, log, stop=lambda: time.monotonic() > end, every=200)
    write_model(arguments.output, vae, training.averaged_networks(), tokenizer)
    look = measure_look(real_frames(arguments.real, teaching), {"operations": teaching})
    look.save(arguments.output / "look.safetensors")
    write_json(work / "losses.json", training.losses)
    log(f"{training.step_number} steps; model written to {arguments.output}")


def _train_autoencoder(arguments, teaching: list[str], log: Callable[[str], None]) -> AutoencoderTiny:
    generator = torch.Generator().manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    made = training_images(real_frames(arguments.real, teaching), arguments.shards, arguments.every, rng)
    images = torch.from_numpy(np.stack(list(made))).permute(0, 3, 1, 2).float() / 127.5 - 1
    images = images.contiguous(memory_format=torch.channels_last)
    teacher = Taef2(arguments.taef2)
    vae = start_from(teacher)
    log(f"autoencoder: {len(images)} images")
    narrow(vae, teacher, shallow_features(vae, images), NARROW_STEPS, generator, log)
    fold_moments(vae, images[::10])
    tune_decoder(vae, images, DECODER_STEPS, generator, log)
    return vae


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the small latent diffusion model that restyles frames.")
    parser.add_argument("--real", type=Path, required=True, help="folder of real frames, <operation>-*.jpg, 1280x720")
    parser.add_argument("--taef2", type=Path, required=True, help="folder with taef2_encoder.pth and taef2_decoder.pth")
    parser.add_argument("--shards", type=Path, nargs="+", required=True, help="frame shards of simulate and render")
    parser.add_argument("--every", type=int, default=3, help="take every so-many-th frame of a shard")
    parser.add_argument("--classes", type=Path, default=Path("resources/classes.tsv"))
    parser.add_argument("--work", type=Path, default=Path("results/mini"), help="caches and the state of the training")
    parser.add_argument("--output", type=Path, default=Path("resources/mini"))
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long, to be gone on with")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
