"""ControlNet training: starts without influence, learns to follow its condition, goes on exactly, can be loaded."""

import dataclasses

import numpy as np
import pytest
import torch

from restyle_material import make_model
from splatscope.config.restyle import ControlNetSetting
from splatscope.config.style_training import ControlNetTrainingConfig
from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.restyle.base_model import load_base_model
from splatscope.restyle.conditions import condition_image
from splatscope.restyle.style_training.controlnet import ControlNetLearner, encode_shards, train_controlnet
from splatscope.restyle.style_training.latent_cache import LatentCache
from splatscope.restyle.style_training.trainer import Trainer
from splatscope.shards import Frame, write_shard
from style_training_material import BlockMeans

SIDE = 32
COLOURS = np.array([[210, 60, 40], [40, 60, 210]], np.uint8)  # of the two classes
TINY = ControlNetTrainingConfig(
    steps=4,
    warmup_steps=1,
    batch_size=2,
    learning_rate=1e-3,
    resolution=SIDE,
    bucket_min=16,
    bucket_max=64,
    bucket_step=16,
    heldout_every=2,
    measure_every=4,
    checkpoint_every=2,
    samples=1,
    sample_steps=2,
    caption="real style",
)
LEARNING = {
    "steps": 60,
    "warmup_steps": 10,
    "learning_rate": 1e-2,
    "batch_size": 4,
    "caption_dropout": 0.0,
    "min_snr_gamma": None,
    "samples": 0,
    "measure_every": 60,
}


def quiet(line):
    pass


def make_frame(key: int, classes: np.ndarray, **maps) -> Frame:
    """A frame of two classes, each of one colour; `classes` is 0 or 1 [H, W]."""
    depth = np.full(classes.shape, 100, np.float32)
    normals = np.tile(np.float32([0, 0, -1]), (*classes.shape, 1))
    maps = {"class_map": (classes + 1).astype(np.uint8), "depth_mm": depth, "normals": normals} | maps
    return Frame(f"{key:06d}", COLOURS[classes], **maps)


def make_shards(folder, shards: int = 2, frames: int = 4) -> list:
    """Frames of two classes with a border at another place in each, upright or level."""
    rng = np.random.default_rng(0)
    paths = [folder / f"shard_{index:06d}.tar" for index in range(shards)]
    for path in paths:
        content = []
        for key in range(frames):
            half = np.arange(SIDE) >= 8 * rng.integers(1, 4)
            classes = np.broadcast_to(half ^ rng.integers(0, 2, dtype=bool), (SIDE, SIDE))
            content.append(make_frame(key, (classes if rng.random() < 0.5 else classes.T).astype(int)))
        write_shard(path, content)
    return paths


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "sd", scene=False)


@pytest.fixture
def base(folder):
    return dataclasses.replace(load_base_model(folder), vae=BlockMeans())


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("shards"))


def test_an_interrupted_training_ends_with_the_same_bytes(folder, shards, tmp_path):
    contents = {}
    for name, stops in {"whole": [None], "interrupted": [3, None]}.items():
        for stop in stops:
            base = dataclasses.replace(load_base_model(folder), vae=BlockMeans())
            torch.manual_seed(len(name))  # must not matter
            out = tmp_path / name / "controlnet_scene"
            train_controlnet(base, shards, "scene", TINY, out, seed=7, log=quiet, stop_at=stop)
        files = [
            path for path in sorted((tmp_path / name).rglob("*")) if path.is_file() and "latents" not in path.parts
        ]
        contents[name] = {path.relative_to(tmp_path / name): path.read_bytes() for path in files}
    assert contents["whole"] == contents["interrupted"]
    assert {path.name for path in contents["whole"]} == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "training.json",
        "curve.csv",
        "step_000000.png",
        "step_000004.png",
    }


def test_the_result_is_loaded_beside_the_base_model(folder, shards, tmp_path, base):
    config = TINY.model_copy(update={"steps": 1, "samples": 0})
    out = train_controlnet(base, shards, "labels", config, tmp_path / "controlnet_labels", seed=7, log=quiet)
    setting = ControlNetSetting(model=str(out), condition="labels", weight=0.5)
    loaded = load_base_model(folder, controlnets=[setting])
    assert loaded.controlnets[0].model.config.conditioning_channels == 3
    record = read_json(out / "training.json")
    assert (record["condition"], record["base_model"], record["steps"], record["seed"]) == ("labels", "sd", 1, 7)
    with pytest.raises(InputError, match="conditioning_channels"):
        load_base_model(folder, controlnets=[setting.model_copy(update={"condition": "scene"})])


def test_it_starts_without_influence_and_learns_to_follow_its_condition(tmp_path, shards):
    folder = make_model(tmp_path / "sd", prediction="v_prediction", scene=False)
    base = dataclasses.replace(load_base_model(folder), vae=BlockMeans())
    base.unet.conv_out.weight.data *= 0.3  # what is random in it would have to be unlearnt first
    config = TINY.model_copy(update=LEARNING)
    examples, _ = encode_shards(
        shards,
        LatentCache(tmp_path / "latents", base),
        config,
        lambda frame: condition_image("labels", frame),
        "labels",
        lambda frame: config.caption,
    )
    learner = ControlNetLearner(base, None, 3, config, seed=1)
    trainer = Trainer(learner, examples, [], config, 1, tmp_path, {}, quiet)
    clean = torch.stack([example.latents() for example in examples])
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    timesteps = torch.full((len(examples),), 800)
    captions = [config.caption] * len(examples)

    def error(conditioned) -> float:
        """Mean squared error at much noise when the conditions of `conditioned` are shown."""
        with torch.no_grad():
            return trainer.error(clean, noise, timesteps, conditioned, captions, torch.ones(len(examples))).item()

    others = examples[1:] + examples[:1]
    before = error(examples)
    assert error(others) == before
    trainer.run()
    assert error(examples) < 0.5 * before
    assert error(examples) < 0.7 * error(others)


def test_frames_without_the_maps_needed_are_refused(tmp_path, base):
    frame = make_frame(0, np.zeros((SIDE, SIDE), int), class_map=None)
    write_shard(tmp_path / "shard.tar", [frame])
    with pytest.raises(InputError, match="class_map"):
        train_controlnet(base, [tmp_path / "shard.tar"], "labels", TINY, tmp_path / "c", seed=1, log=quiet)


def test_broken_or_missing_shards_are_refused(tmp_path, base):
    with pytest.raises(InputError, match="no frame to train on"):
        train_controlnet(base, [], "labels", TINY, tmp_path / "c", seed=1, log=quiet)
    (tmp_path / "shard.tar").write_bytes(b"broken")
    for name in ("shard.tar", "missing.tar"):
        with pytest.raises(InputError, match=name):
            train_controlnet(base, [tmp_path / name], "labels", TINY, tmp_path / "c", seed=1, log=quiet)
