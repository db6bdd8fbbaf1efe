"""LoRA training: what goes in, the loss, that it learns, that it goes on exactly, what comes out."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image
from pydantic import ValidationError
from transformers import CLIPTextConfig, CLIPTextModel

from restyle_material import NOISE_SCHEDULE, make_model, make_tokenizer, text_config
from splatscope.config.load import read_yaml
from splatscope.config.restyle import LoraSetting
from splatscope.config.style_training import StyleTrainingConfig
from splatscope.errors import InputError
from splatscope.restyle.base_model import LatentDiffusion, load_base_model
from splatscope.restyle.style_training.batches import BatchOrder
from splatscope.restyle.style_training.buckets import bucket_sizes, choose_crop
from splatscope.restyle.style_training.frames import read_frames
from splatscope.restyle.style_training.latent_cache import LatentCache
from splatscope.restyle.style_training.lora import LoraLearner, encode_frames, train_lora
from splatscope.restyle.style_training.losses import prediction_target, snr_weights, weighted_error
from splatscope.restyle.style_training.optimizers import make_optimizer
from splatscope.restyle.style_training.sample_pictures import sample_latents
from splatscope.restyle.style_training.stage import train_style
from splatscope.restyle.style_training.tensor_files import read_tensors, write_tensors
from splatscope.restyle.style_training.trainer import Trainer
from style_training_material import BlockMeans, make_pictures
from test_restyle_sd15 import UNET as SD15_UNET
from test_restyle_sd15 import randomised

RED, BLUE = (0.85, 0.15, 0.1), (0.1, 0.15, 0.85)
TINY = StyleTrainingConfig(
    steps=4,
    warmup_steps=1,
    batch_size=2,
    learning_rate=1e-2,
    rank=4,
    alpha=2,
    layers="attention",
    ema_decay=0.9,
    resolution=32,
    bucket_min=16,
    bucket_max=64,
    bucket_step=16,
    min_frames=4,
    heldout_every=4,
    measure_every=4,
    checkpoint_every=2,
    samples=0,
    trigger_words="red style",
)


def changed(**values) -> StyleTrainingConfig:
    return StyleTrainingConfig.model_validate(TINY.model_dump() | values)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Model folders by kind."""
    root = tmp_path_factory.mktemp("models")
    kinds = {"sd15": {}, "sd21": {"prediction": "v_prediction"}, "sdxl": {"sdxl": True}}
    return {name: make_model(root / name, **options) for name, options in kinds.items()}


@pytest.fixture
def base(folders):
    return dataclasses.replace(load_base_model(folders["sd15"]), vae=BlockMeans())


@pytest.fixture(scope="module")
def red(tmp_path_factory):
    return make_pictures(tmp_path_factory.mktemp("frames") / "red", 6, RED, (32, 32))


def quiet(line):
    pass


# --- settings


def test_the_published_recipe_is_a_valid_configuration(repository):
    config = published_recipe(repository)
    assert (config.rank, config.alpha, config.optimizer, config.learning_rate) == (128, 1, "adafactor", 1.2e-3)
    assert (config.steps, config.batch_size, config.resolution, config.min_snr_gamma) == (13920, 5, 512, 5)
    assert (config.schedule, config.precision) == ("constant_with_warmup", "float16")
    assert config.gradient_checkpointing and not config.text_encoder
    assert (config.bucket_min, config.bucket_max, config.bucket_step) == (256, 2048, 64)


@pytest.mark.parametrize("values", [{"resolution": 128}, {"bucket_step": 64}, {"heldout_every": 1}, {"ema_decay": 1}])
def test_settings_that_cannot_work_are_refused(values):
    with pytest.raises(ValidationError):
        changed(**values)


# --- buckets


def test_buckets_of_the_published_recipe():
    sizes = bucket_sizes(512, 256, 2048, 64)
    assert (512, 512) in sizes and (256, 1024) in sizes and (1024, 256) in sizes and (640, 384) in sizes
    assert all(width % 64 == 0 == height % 64 and min(width, height) >= 256 for width, height in sizes)
    assert all(width * height <= 512**2 for width, height in sizes)
    assert all((height, width) in sizes for width, height in sizes)


@pytest.mark.parametrize(
    ("size", "bucket"), [((1280, 720), (640, 384)), ((720, 720), (512, 512)), ((480, 640), (448, 576))]
)
def test_a_frame_goes_to_the_bucket_of_its_shape(size, bucket):
    crop = choose_crop(*size, bucket_sizes(512, 256, 1024, 64))
    assert crop.bucket == bucket
    # one side is shown whole, the other cut evenly, nothing stretched
    assert crop.width == size[0] or crop.height == size[1]
    assert abs((size[0] - crop.width) - 2 * crop.left) <= 1 and abs((size[1] - crop.height) - 2 * crop.top) <= 1
    assert crop.width / crop.height == pytest.approx(bucket[0] / bucket[1], rel=0.01)


def test_a_crop_shows_the_middle():
    image = np.zeros((30, 90, 3), np.float32)
    image[:, 30:60] = 1
    crop = choose_crop(90, 30, [(32, 32)])
    np.testing.assert_allclose(crop.apply(image), 1, atol=1e-5)


def test_batches_hold_one_size_and_each_frame_once_a_round():
    sizes = [(64, 32)] * 5 + [(32, 64)] * 4 + [(32, 32)]
    order = BatchOrder(sizes, 2, seed=3)
    rounds = [[order[turn * order.batches_a_round + k] for k in range(order.batches_a_round)] for turn in range(2)]
    for batches in rounds:
        assert sorted(index for batch in batches for index in batch) == list(range(10))
        assert all(len({sizes[index] for index in batch}) == 1 for batch in batches)
    assert rounds[0] != rounds[1]
    # any batch can be had alone, in any order
    assert BatchOrder(sizes, 2, seed=3)[order.batches_a_round + 2] == rounds[1][2]
    assert [BatchOrder(sizes, 2, seed=4)[k] for k in range(order.batches_a_round)] != rounds[0]


# --- frames


def test_captions_are_trigger_words_and_text(tmp_path):
    make_pictures(tmp_path, 4)
    (tmp_path / "001.txt").write_text("two  tools\nin view\n")
    captions = [frame.caption for frame in read_frames(tmp_path, "red style", 4)]
    assert captions == ["red style", "red style, two tools in view", "red style", "red style"]


def test_all_broken_files_are_named_at_once(tmp_path):
    make_pictures(tmp_path, 4)
    (tmp_path / "000.png").write_bytes((tmp_path / "000.png").read_bytes()[:200])
    (tmp_path / "001.png").write_bytes(b"no image")
    (tmp_path / "lonely.txt").write_text("a caption")
    (tmp_path / "002.txt").write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(InputError) as error:
        read_frames(tmp_path, "red style", 2)
    for name in ("000.png", "001.png", "lonely.txt", "002.txt"):
        assert name in str(error.value)
    assert "003" not in str(error.value)


def test_too_few_frames_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_frames(tmp_path / "missing", "", 4)
    with pytest.raises(InputError, match="no image"):
        read_frames(tmp_path, "", 4)
    make_pictures(tmp_path, 3)
    with pytest.raises(InputError, match="3 frames"):
        read_frames(tmp_path, "", 4)


def test_frames_much_smaller_than_training_pictures_are_refused(tmp_path, base):
    make_pictures(tmp_path / "frames", 4, size=(15, 15))
    frames = read_frames(tmp_path / "frames", "", 4)
    with pytest.raises(InputError, match="15 x 15"):
        encode_frames(frames, LatentCache(tmp_path / "cache", base), TINY)


def test_grey_frames_become_three_channels_and_deep_ones_are_refused(tmp_path):
    make_pictures(tmp_path, 1)
    Image.fromarray(np.full((32, 32), 128, np.uint8)).save(tmp_path / "grey.png")
    grey = read_frames(tmp_path, "", 1)[-1]
    assert grey.pixels().shape == (32, 32, 3) and (grey.pixels() == 128).all()
    Image.fromarray(np.full((32, 32), 3000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(InputError, match="8 bits"):
        read_frames(tmp_path, "", 1)


# --- latents on disk


def test_latents_are_encoded_once_and_again_for_another_crop_or_file(tmp_path, base, red):
    frames = read_frames(red, "red style", 4)
    cache = LatentCache(tmp_path, base)
    training, heldout = encode_frames(frames, cache, TINY)
    assert (len(training), len(heldout), cache.encoded) == (5, 1, 6)
    expected = base.encode_images(frames[0].pixels()[None].astype(np.float32) / 255)[0]
    torch.testing.assert_close(training[0].latents(), expected)

    again = LatentCache(tmp_path, base)
    assert encode_frames(frames, again, TINY) == (training, heldout) and again.encoded == 0
    training[0].file.write_bytes(b"broken")
    encode_frames(frames, again, TINY)
    assert again.encoded == 1
    torch.testing.assert_close(training[0].latents(), expected)
    encode_frames(frames, again, changed(resolution=48, bucket_max=48))
    assert again.encoded == 7


def test_mirrored_frames_are_mirrored_and_never_held_out(tmp_path, base):
    rng = np.random.default_rng(0)
    for index in range(4):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(tmp_path / f"{index}.png")
    frames = read_frames(tmp_path, "", 4)
    training, heldout = encode_frames(frames, LatentCache(tmp_path / "cache", base), changed(flip=True))
    assert (len(training), len(heldout)) == (6, 1)
    torch.testing.assert_close(training[1].latents(), training[0].latents().flip(2))


def test_what_sdxl_is_told_of_sizes(tmp_path, base):
    make_pictures(tmp_path, 4, size=(128, 64))
    config = changed(bucket_min=32, bucket_max=32)
    example = encode_frames(read_frames(tmp_path, "", 4), LatentCache(tmp_path / "cache", base), config)[0][0]
    # brought to 64 x 32 pixels, of which 32 x 32 from 16 to the right on are shown
    assert example.time_ids == (32, 64, 0, 16, 32, 32)


# --- loss


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_weights_limit_what_the_clean_picture_is_off_by(prediction):
    """With an error of one size in the clean picture at every noise level, the loss is min(SNR, gamma) times it."""
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", prediction_type=prediction)
    generator = torch.Generator().manual_seed(0)
    timesteps = torch.tensor([5, 200, 500, 900])
    clean, noise, off = (torch.randn(4, 4, 2, 2, generator=generator) for _ in range(3))
    target = prediction_target(scheduler, clean, noise, timesteps)
    signal = scheduler.alphas_cumprod[timesteps].sqrt()[:, None, None, None]
    spread = (1 - signal**2).sqrt()
    # of a noisy picture that stays what it is, with the clean picture off by `off`
    if prediction == "epsilon":
        guess = (signal * clean + spread * noise - signal * (clean + off)) / spread
    else:
        guess = target - off / spread
    snr = (signal / spread).flatten() ** 2
    for gamma, expected in ((5.0, snr.clamp(max=5)), (0.5, snr.clamp(max=0.5))):
        weights = snr_weights(scheduler, timesteps, gamma)
        errors = [weighted_error(guess[k : k + 1], target[k : k + 1], weights[k : k + 1]) for k in range(4)]
        torch.testing.assert_close(torch.stack(errors), expected * (off**2).flatten(1).mean(1), rtol=1e-3, atol=1e-6)
    assert (snr_weights(scheduler, timesteps, None) == 1).all()


def test_the_rate_rises_and_falls_as_scheduled():
    parameter = torch.nn.Parameter(torch.zeros(1))
    rates = {}
    for kind in ("cosine", "constant_with_warmup"):
        config = changed(schedule=kind, steps=20, warmup_steps=10, learning_rate=1.0)
        optimizer, schedule = make_optimizer([{"params": [parameter]}], config)
        rates[kind] = []
        for _ in range(20):
            rates[kind].append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
    rising = [step / 10 for step in range(10)]
    assert rates["constant_with_warmup"] == pytest.approx(rising + [1.0] * 10)
    assert rates["cosine"] == pytest.approx(rising + [0.5 + 0.5 * math.cos(math.pi * step / 10) for step in range(10)])


# --- learning


def test_training_lowers_the_loss_and_draws_samples_to_the_style(folders, tmp_path):
    config = changed(steps=60, warmup_steps=5, layers="transformer", sample_steps=6, sample_guidance_scale=1.0)
    config = config.model_copy(update={"measure_every": 60, "checkpoint_every": 100, "alpha": 4.0})
    base = dataclasses.replace(load_base_model(folders["sd21"]), vae=BlockMeans())
    frames = read_frames(make_pictures(tmp_path / "red", 8, RED, (32, 32)), "red style", 4)
    training, heldout = encode_frames(frames, LatentCache(tmp_path / "cache", base), config)
    learner = LoraLearner(base, config, seed=0)
    trainer = Trainer(learner, training, heldout, config, 0, tmp_path, {}, quiet)

    def colour() -> np.ndarray:
        """Mean red, green and blue of four drawn pictures, as latents."""
        drawn = []
        for seed in range(4):
            noise = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(seed))
            drawn.append(sample_latents(learner, training[0], noise, trainer.scheduler, config, trainer.autocast))
        return torch.cat(drawn).mean((0, 2, 3)).numpy()[:3]

    before = colour()
    curve = trainer.run()
    after = colour()
    style, other = (2 * np.array(value) - 1 for value in (RED, BLUE))
    assert curve[-1]["probe_heldout"] < 0.8 * curve[0]["probe_heldout"]
    assert np.linalg.norm(after - style) < 0.8 * np.linalg.norm(before - style)
    assert np.linalg.norm(after - style) < 0.7 * np.linalg.norm(after - other)


# --- going on


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"optimizer": "adafactor", "gradient_accumulation": 2, "ema_decay": 0, "caption_dropout": 0.5, "alpha": 1},
        {"text_encoder": True, "schedule": "constant_with_warmup", "gradient_checkpointing": True, "samples": 1},
    ],
    ids=["adamw", "adafactor", "text encoder"],
)
def test_an_interrupted_training_ends_with_the_same_bytes(folders, red, tmp_path, values):
    config = changed(sample_steps=2, **values)
    # the second call is another process: it has only what is on disk
    contents = {}
    for name, stops in {"whole": [None], "interrupted": [3, None]}.items():
        for stop in stops:
            base = dataclasses.replace(load_base_model(folders["sd15"]), vae=BlockMeans())
            torch.manual_seed(len(name))  # must not matter
            lora = train_lora(base, red, config, tmp_path / name, seed=7, log=quiet, stop_at=stop)
            if stop is not None:
                assert (tmp_path / name / "checkpoint.safetensors").exists() and not lora.exists()
        contents[name] = [lora.read_bytes(), (tmp_path / name / "curve.csv").read_bytes()]
        contents[name] += [path.read_bytes() for path in sorted((tmp_path / name / "samples").glob("*.png"))]
        assert not (tmp_path / name / "checkpoint.safetensors").exists()
    assert contents["interrupted"] == contents["whole"]


def test_a_checkpoint_of_another_training_is_refused(folders, red, tmp_path, base):
    train_lora(base, red, TINY, tmp_path, seed=7, log=quiet, stop_at=3)
    with pytest.raises(InputError, match="base model"):
        other = dataclasses.replace(load_base_model(folders["sd15"]), vae=BlockMeans())
        other.unet.conv_in.weight.data[0] += 1
        train_lora(other, red, TINY, tmp_path, seed=7, log=quiet)
    with pytest.raises(InputError, match="learning_rate"):
        train_lora(base, red, changed(learning_rate=1e-3), tmp_path, seed=7, log=quiet)
    with pytest.raises(InputError, match="seed"):
        train_lora(base, red, TINY, tmp_path, seed=8, log=quiet)
    with pytest.raises(InputError, match="frames"):
        train_lora(base, make_pictures(tmp_path / "more", 4), TINY, tmp_path, seed=7, log=quiet)


@pytest.mark.parametrize("damage", ["flipped", "truncated"])
def test_a_damaged_checkpoint_is_kept_aside_and_not_used(red, tmp_path, base, damage):
    train_lora(base, red, TINY, tmp_path, seed=7, log=quiet, stop_at=3)
    checkpoint, said = tmp_path / "checkpoint.safetensors", []
    content = bytearray(checkpoint.read_bytes())
    content[-20] ^= 1  # among the numbers
    checkpoint.write_bytes(content if damage == "flipped" else content[:-20])
    train_lora(base, red, TINY, tmp_path, seed=7, log=said.append)
    assert any("is damaged" in line and "starting anew" in line for line in said)
    assert (tmp_path / "checkpoint.damaged.safetensors").exists()


def test_a_loss_that_is_not_finite_ends_training(red, tmp_path, base):
    base.unet.conv_out.bias.data[0] = float("nan")
    with pytest.raises(InputError, match="a loss of nan"):
        train_lora(base, red, TINY, tmp_path, seed=7, log=quiet)
    assert not (tmp_path / "pytorch_lora_weights.safetensors").exists()


# --- what comes out


@pytest.mark.parametrize(
    ("kind", "pipeline_class"),
    [("sd15", StableDiffusionPipeline), ("sdxl", StableDiffusionXLPipeline)],
)
def test_diffusers_reads_the_lora_as_it_was_trained(folders, red, tmp_path, kind, pipeline_class):
    config = changed(steps=1, warmup_steps=0, ema_decay=0, text_encoder=True, layers="transformer")
    config = config.model_copy(update={"text_encoder_learning_rate": 1e-2})
    base = dataclasses.replace(load_base_model(folders[kind]), vae=BlockMeans())
    plain = load_base_model(folders[kind])
    lora = train_lora(base, red, config, tmp_path, seed=7, log=quiet)

    pipeline = pipeline_class.from_pretrained(folders[kind])
    pipeline.load_lora_weights(tmp_path)
    merged = load_base_model(folders[kind], loras=[LoraSetting(path=str(lora))])
    prompts = ["red style"]
    latents, time = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([300])

    def predict(model, unet):
        embedding = model.encode_prompts(prompts)
        sizes = {"text_embeds": embedding.pooled, "time_ids": torch.tensor([[32.0, 32, 0, 0, 32, 32]])}
        with torch.no_grad():
            output = unet(latents, time, embedding.hidden, added_cond_kwargs=sizes if kind == "sdxl" else None)
        return output.sample

    by_diffusers = dataclasses.replace(
        plain,
        text_encoders=tuple(
            getattr(pipeline, name) for name in ("text_encoder", "text_encoder_2") if hasattr(pipeline, name)
        ),
    )
    expected = predict(by_diffusers, pipeline.unet)
    assert (expected - predict(plain, plain.unet)).abs().max() > 1e-3
    torch.testing.assert_close(predict(merged, merged.unet), expected, rtol=1e-4, atol=1e-5)
    # the base comes back as it was
    torch.testing.assert_close(predict(base, base.unet), predict(plain, plain.unet), rtol=0, atol=0)


def published_recipe(repository, **values) -> StyleTrainingConfig:
    section = read_yaml(repository / "config" / "paper" / "simuscope.yaml")["style_training"]
    return StyleTrainingConfig.model_validate(section | values)


def true_model(unet, layers: int) -> LatentDiffusion:
    """Stable Diffusion 1.5's U-Net with a text encoder of its width, and of `layers` layers."""
    tokenizer = make_tokenizer()
    width = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": layers}
    text = CLIPTextModel(CLIPTextConfig(**text_config(tokenizer).to_dict() | width))
    config = DDPMScheduler(prediction_type="epsilon", **NOISE_SCHEDULE).config
    device = unet.device
    return LatentDiffusion(
        "sd15", "", BlockMeans(), unet, (text.to(device),), (tokenizer,), dict(config), (), device, torch.float32, 8
    )


def test_the_published_recipe_adapts_as_many_layers_as_its_training_program(repository):
    """It says of Stable Diffusion 1.5: 192 modules of the U-Net, 72 of the text encoder."""
    with torch.device("meta"):
        base = true_model(UNet2DConditionModel(**SD15_UNET), layers=12)
    learner = LoraLearner(base, published_recipe(repository, text_encoder=True), seed=0)
    names = [name.rpartition(".lora_")[0] for name in learner.tensors()]
    assert len(names) == 2 * (192 + 72)
    assert len({name for name in names if name.startswith("unet.")}) == 192


@pytest.mark.slow  # 3.4 GB of weights
def test_the_published_recipe_runs_through_the_true_layout(repository, tmp_path):
    base = true_model(randomised(lambda: UNet2DConditionModel(**SD15_UNET)), layers=1)
    sizes = {"resolution": 64, "bucket_min": 64, "bucket_max": 64}
    config = published_recipe(repository, steps=1, warmup_steps=0, samples=0, **sizes)
    frames = make_pictures(tmp_path / "frames", 8, RED)
    tensors, metadata = read_tensors(train_lora(base, frames, config, tmp_path, seed=0, log=quiet))
    assert (metadata["rank"], metadata["alpha"], len(tensors)) == ("128", "1.0", 2 * 192)
    # these start at 0, and Adafactor clips the root mean square of an update to its rate
    moved = [value.square().mean().sqrt() for name, value in tensors.items() if "lora_B" in name]
    assert min(moved) > 0 and max(moved) <= 1.01 * config.learning_rate


def test_the_lora_says_how_it_was_made(red, tmp_path, base):
    config = changed(steps=1)
    tensors, metadata = read_tensors(train_lora(base, red, config, tmp_path, seed=7, log=quiet))
    assert all(value.isfinite().all() for value in tensors.values())
    assert (metadata["rank"], metadata["alpha"], metadata["steps"], metadata["seed"]) == ("4", "2.0", "1", "7")
    assert (metadata["base_model"], metadata["trigger_words"]) == ("sd15", "red style")
    assert StyleTrainingConfig.model_validate(json.loads(metadata["settings"])) == config


def test_the_job_trains_what_its_settings_name(folders, red, tmp_path):
    config = changed(steps=1, samples=1, sample_steps=1, frames=str(red))
    lora = train_style(folders["sd15"], config, 7, tmp_path, device="cpu")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.csv", "latents", lora.name, "samples"]
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["step_000000.png", "step_000001.png"]
    with pytest.raises(InputError, match="frames"):
        train_style(folders["sd15"], changed(frames=""), 7, tmp_path, device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_not_there_is_refused(folders, red, tmp_path):
    with pytest.raises(InputError, match="finds none"):
        train_style(folders["sd15"], changed(frames=str(red)), 7, tmp_path, device="cuda")


def test_equal_tensors_and_metadata_are_equal_bytes(tmp_path):
    metadata = {name: name for name in "hgfedcba"}
    tensors = {"b": torch.arange(3.0), "a": torch.ones(2, 2)}
    for index in range(4):
        write_tensors(tmp_path / f"{index}.safetensors", tensors, metadata)
    contents = {(tmp_path / f"{index}.safetensors").read_bytes() for index in range(4)}
    assert len(contents) == 1
    read, text = read_tensors(tmp_path / "0.safetensors")
    assert text == metadata and read.keys() == tensors.keys() and read["b"].equal(tensors["b"])
