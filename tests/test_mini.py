"""The small model that ships: its parts, its training, and the folder in resources/mini."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, ControlNetModel, StableDiffusionControlNetImg2ImgPipeline
from safetensors.torch import load_file
from transformers import CLIPTokenizer

from splatscope.classes import read_class_table, voc_colours
from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.restyle.conditions import SCENE_CHANNELS
from splatscope.restyle.mini import __main__ as command
from splatscope.restyle.mini.autoencoder import Taef2, fold_moments, psnr, start_from
from splatscope.restyle.mini.captions import REAL, SIMULATED, caption, vocabulary
from splatscope.restyle.mini.folder import CONTROLNET_FOLDER, write_model
from splatscope.restyle.mini.material import (
    Picture,
    exact_scene,
    load_pictures,
    mirrored_scene,
    operations,
    save_pictures,
    with_instruments,
)
from splatscope.restyle.mini.networks import MiniShape, write_tokenizer
from splatscope.restyle.mini.training import Recipe, Training
from splatscope.restyle.weak_conditions import FAT, GRASPER, LIVER, guess_classes, guess_scene
from splatscope.shards import Frame, write_shard

TINY = MiniShape(
    channels=(16, 32),
    attention_levels=(False, True),
    norm_groups=8,
    attention_head_channels=16,
    text_width=16,
    text_layers=1,
    condition_channels=(8, 8, 8, 8),
)
RECIPE = Recipe(steps=30, batch=16, crop_latents=(4, 4), full_latents=(4, 6), learning_rate=4e-3, warm_up_steps=5)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, repository) -> CLIPTokenizer:
    words = vocabulary(read_class_table(repository / "resources" / "classes.tsv"))
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"), words, TINY.text_tokens)


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    rng = np.random.default_rng(3)

    def picture(domain: str, level: float) -> Picture:
        latents = torch.from_numpy(level + 0.1 * rng.standard_normal((8, 6, 8))).half()
        scene = torch.from_numpy(rng.integers(0, 256, (SCENE_CHANNELS, 48, 64), dtype=np.uint8))
        return Picture(latents, scene, domain, f"{domain}, liver")

    return [picture(REAL, 1.0), picture(REAL, 0.8), picture(SIMULATED, -1.0)]


def test_training_lowers_the_loss(tokenizer, pictures):
    training = Training(RECIPE, TINY, tokenizer, pictures)

    @torch.no_grad()
    def loss() -> float:
        return float(torch.stack([training.loss(number) for number in range(RECIPE.steps)]).mean())

    before = loss()
    for _ in range(RECIPE.steps):
        training.step()
    assert loss() < 0.7 * before


def test_training_resumes_exactly(tokenizer, pictures, tmp_path):
    through = Training(RECIPE, TINY, tokenizer, pictures)
    for _ in range(4):
        through.step()
    through.save(tmp_path / "state.pt")
    for _ in range(4):
        through.step()
    resumed = Training(RECIPE, TINY, tokenizer, pictures)
    resumed.load(tmp_path / "state.pt")
    for _ in range(4):
        resumed.step()
    assert resumed.losses == through.losses
    for expected, got in zip(
        through.averaged_networks().parameters(), resumed.averaged_networks().parameters(), strict=True
    ):
        assert torch.equal(expected, got)


def test_a_trained_model_is_a_folder_that_diffusers_loads(tokenizer, pictures, tmp_path):
    training = Training(RECIPE, TINY, tokenizer, pictures)
    training.step()
    networks = training.averaged_networks()
    write_model(tmp_path, AutoencoderTiny(latent_channels=8), networks, tokenizer)
    stored = load_file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    pipeline = _pipeline(tmp_path)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    for name, value in networks["unet"].state_dict().items():
        torch.testing.assert_close(pipeline.unet.state_dict()[name], value, atol=1e-3, rtol=1e-3)


def test_pictures_survive_storage(pictures, tmp_path):
    save_pictures(tmp_path / "pictures.safetensors", pictures)
    for expected, got in zip(pictures, load_pictures(tmp_path / "pictures.safetensors"), strict=True):
        assert (got.domain, got.caption) == (expected.domain, expected.caption)
        assert torch.equal(got.latents, expected.latents) and torch.equal(got.scene, expected.scene)


def test_every_word_of_a_caption_is_one_token(tokenizer, repository):
    for word in vocabulary(read_class_table(repository / "resources" / "classes.tsv")):
        assert len(tokenizer.tokenize(word)) == 1, word
    assert tokenizer.decode(tokenizer("Real liver").input_ids[1:-1]).strip() == "real liver"
    assert len(tokenizer.tokenize("endoscope")) > 1  # unknown words are spelled, not lost


def test_a_caption_names_what_covers_a_hundredth(repository):
    names = {number: name for name, number in read_class_table(repository / "resources" / "classes.tsv").items()}
    class_map = np.zeros((20, 20), np.uint8)
    class_map[:10], class_map[10:13], class_map[13, :2] = 2, 4, 10
    assert caption(REAL, class_map, names) == "real laparoscopy, liver, fat"


@pytest.mark.parametrize(("rgb", "expected"), [((215, 155, 85), FAT), ((95, 94, 96), GRASPER), ((90, 40, 38), LIVER)])
def test_colours_tell_classes(rgb, expected):
    picture = np.full((64, 80, 3), rgb, np.uint8)
    assert (guess_classes(picture) == expected).all()
    scene, _ = guess_scene(picture)
    assert np.allclose(scene[0, 0, 5:8], 255 * voc_colours()[expected], atol=1)


def test_highlights_do_not_show_in_weak_conditions():
    tissue = np.full((128, 160, 3), (150, 80, 80), np.uint8)
    wet = tissue.copy()
    wet[60:63, 40:43] = 255
    assert np.array_equal(guess_scene(wet)[0], guess_scene(tissue)[0])


def test_an_instrument_is_laid_over_real_tissue_with_its_exact_condition():
    tissue = np.full((80, 96, 3), (150, 80, 80), np.uint8)
    mask = np.zeros((64, 80), bool)
    mask[20:40, 30:50] = True
    class_map = np.where(mask, GRASPER, FAT).astype(np.uint8)
    depth = np.where(mask, 50, 100).astype(np.float32)
    normals = np.zeros((64, 80, 3), np.float32)
    normals[..., 2] = -1
    frame = Frame("000000", np.full((64, 80, 3), 100, np.uint8), {}, class_map, depth_mm=depth, normals=normals)
    picture, scene, classes = with_instruments(tissue, frame, mask, np.random.default_rng(0))
    assert (np.ptp(picture[25:35, 35:45].astype(int), axis=2) < 15).all()  # grey
    assert (picture[:10] == (150, 80, 80)).all()
    assert np.array_equal(scene[mask], exact_scene(frame)[mask])
    assert np.array_equal(scene[:10], guess_scene(tissue)[0][:10, :80])
    assert (classes[mask] == GRASPER).all() and FAT not in classes


def test_mirrored_normals_lean_to_the_other_side():
    scene = np.zeros((2, 3, SCENE_CHANNELS), np.uint8)
    scene[0, 0, 1:4] = (255, 128, 200)
    mirrored = mirrored_scene(scene)
    assert mirrored[0, 2, 1:4].tolist() == [0, 128, 200]
    assert np.array_equal(mirrored_scene(mirrored), scene)


def test_real_frames_are_split_by_operation(tmp_path):
    for name in ("01-a", "01-b", "02-a", "07-a"):
        (tmp_path / f"{name}.jpg").touch()
    assert operations(tmp_path) == (["01", "07"], ["02"])
    with pytest.raises(InputError, match="two or more operations"):
        operations(tmp_path / "nowhere")


def test_missing_autoencoder_weights_are_named(tmp_path):
    with pytest.raises(InputError, match="TAEF2"):
        Taef2(tmp_path)


def test_the_autoencoder_keeps_what_the_layouts_share(shared_data):
    vae = start_from(Taef2(shared_data / "taef2"))
    weights = torch.load(shared_data / "taef2" / "taef2_decoder.pth", weights_only=True)
    assert torch.equal(vae.decoder.layers[16].weight, weights["17.weight"].float())


def test_folding_moments_normalises_latents_and_keeps_the_picture():
    torch.manual_seed(0)
    vae = AutoencoderTiny(latent_channels=8)
    with torch.no_grad():
        vae.encoder.layers[-1].weight *= 0.1  # far from the decoder's clamp
        vae.encoder.layers[-1].bias.fill_(0.05)
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = vae.decoder.layers(vae.encode(images).latents)
        fold_moments(vae, images)
        latents = vae.encode(images).latents
        after = vae.decoder.layers(latents)
    assert latents.mean((0, 2, 3)).abs().max() < 1e-4
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(8), atol=1e-3)
    inside = (..., slice(32, -32), slice(32, -32))  # the first layer pads with zeros, which the mean has moved
    torch.testing.assert_close(after[inside], before[inside], atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_the_command_trains_a_model_and_goes_on(shared_data, repository, tmp_path, monkeypatch):
    real = tmp_path / "real"
    real.mkdir()
    source = shared_data / "laparoscopy_intermountain" / "images"
    for operation in ("00001", "00002"):
        path = min(source.glob(f"{operation}-*.jpg"))
        (real / path.name).write_bytes(path.read_bytes())
    class_map = np.full((256, 320), LIVER, np.uint8)
    class_map[60:120, :200] = GRASPER
    normals = np.zeros((256, 320, 3), np.float32)
    normals[..., 2] = -1
    depth = np.full((256, 320), 80, np.float32)
    frame = Frame("000000", np.full((256, 320, 3), 120, np.uint8), {}, class_map, depth_mm=depth, normals=normals)
    write_shard(tmp_path / "shard.tar", [frame])
    monkeypatch.setattr(command, "NARROW_STEPS", 30)
    monkeypatch.setattr(command, "DECODER_STEPS", 30)

    def run(steps: int) -> list[float]:
        arguments = {"--real": real, "--taef2": shared_data / "taef2", "--shards": tmp_path / "shard.tar"}
        arguments |= {"--classes": repository / "resources" / "classes.tsv", "--work": tmp_path / "work"}
        arguments |= {"--output": tmp_path / "model", "--steps": steps}
        monkeypatch.setattr("sys.argv", ["mini", *(str(part) for item in arguments.items() for part in item)])
        command.main()
        return read_json(tmp_path / "work" / "losses.json")

    first = run(1)
    assert run(2)[:1] == first
    _pipeline(tmp_path / "model")


def _pipeline(folder) -> StableDiffusionControlNetImg2ImgPipeline:
    controlnet = ControlNetModel.from_pretrained(folder / CONTROLNET_FOLDER, torch_dtype=torch.float32)
    return StableDiffusionControlNetImg2ImgPipeline.from_pretrained(
        folder, controlnet=controlnet, torch_dtype=torch.float32, safety_checker=None, local_files_only=True
    )


@pytest.fixture(scope="module")
def shipped(repository):
    return repository / "resources" / "mini"


def test_the_shipped_model_is_small_safe_and_described(shipped):
    files = [path for path in shipped.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 60e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt", ".md"}
    card = (shipped / "README.md").read_text()
    assert card.startswith("---\nlicense:")
    for heading in ("What it is not", "Data", "How it was trained"):
        assert f"## {heading}" in card


def test_the_shipped_autoencoder_restores_a_picture(shipped):
    vae = AutoencoderTiny.from_pretrained(shipped / "vae", torch_dtype=torch.float32)
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 96), torch.linspace(0, 1, 96), indexing="ij")
    picture = torch.stack([0.5 + 0.3 * columns, 0.3 + 0.2 * rows, 0.3 + 0.1 * torch.sin(12 * rows)])
    assert psnr(vae, picture[None] * 2 - 1)[0] > 25


def test_the_shipped_model_restyles_a_picture(shipped):
    pipeline = _pipeline(shipped)
    rng = np.random.default_rng(0)
    image = np.float32([0.6, 0.3, 0.25]) + 0.05 * rng.standard_normal((64, 96, 3)).astype(np.float32)
    image = image.clip(0, 1)
    scene = torch.zeros(1, SCENE_CHANNELS, 64, 96)
    restyled = pipeline(
        "real laparoscopy",
        image=image,
        control_image=scene,
        strength=0.5,
        num_inference_steps=4,
        guidance_scale=1.0,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images[0]
    assert restyled.shape == image.shape and np.isfinite(restyled).all()
    assert 0.01 < np.abs(restyled - image).mean() < 0.3
