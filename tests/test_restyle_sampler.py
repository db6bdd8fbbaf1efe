"""restyle.sampler against diffusers' own pipelines; and strength by pixel, tiles, memory that runs out."""

from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch

from restyle_material import make_model, pictures, standard_noise
from splatscope.config.restyle import ControlNetSetting, SamplerConfig
from splatscope.errors import InputError
from splatscope.restyle.base_model import load_base_model
from splatscope.restyle.denoiser import Denoiser, MemoryLimit, blend_window, tile_starts
from splatscope.restyle.sampler import first_step, model_output, restyle_batch

DEPTH = ControlNetSetting(model="controlnet_depth", condition="depth", weight=0.65)
EDGE = ControlNetSetting(model="controlnet_edge", condition="soft_edge", weight=0.45)
PROMPTS = ["a real laparoscopy", "simulated liver style"]
CONFIG = SamplerConfig(steps=6, strength=0.65, detail=0, guidance_scale=4.0, negative_prompt="simulated", batch_size=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {
        "sd": make_model(root / "sd"),
        "v": make_model(root / "v", prediction="v_prediction"),
        "xl": make_model(root / "xl", sdxl=True),
    }


@pytest.fixture(scope="module")
def models(folders):
    return {name: load_base_model(folder, controlnets=[DEPTH, EDGE]) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def plain(folders):
    return load_base_model(folders["sd"])


def conditions(count: int, height: int = 64, width: int = 80) -> list[np.ndarray]:
    return [pictures(count, height, width, seed=seed) for seed in (5, 6)]


def noise_for(model, count: int, height: int = 64, width: int = 80, seed: int = 0) -> torch.Tensor:
    return standard_noise(count, *model.latent_shape(height, width), seed=seed)


SCHEDULERS = {
    "dpmpp_2m_karras": (diffusers.DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "ddim": (diffusers.DDIMScheduler, {}),
    "euler": (diffusers.EulerDiscreteScheduler, {}),
}


@pytest.mark.parametrize(
    "name, scheduler",
    [("sd", "dpmpp_2m_karras"), ("sd", "euler"), ("v", "ddim"), ("xl", "euler")],
)
def test_agrees_with_diffusers(folders, models, name, scheduler):
    """Two ControlNets, guidance, part of the schedule: the same picture as diffusers' pipeline from the same noise."""
    model, images, shown = models[name], pictures(2, 64, 80), conditions(2)
    config = CONFIG.model_copy(update={"scheduler": scheduler})
    kinds = {False: diffusers.StableDiffusionControlNetImg2ImgPipeline, True: None}
    kinds[True] = diffusers.StableDiffusionXLControlNetImg2ImgPipeline
    nets = [diffusers.ControlNetModel.from_pretrained(folders[name] / f"controlnet_{n}") for n in ("depth", "edge")]
    pipeline = kinds[name == "xl"].from_pretrained(folders[name], controlnet=nets)
    kind, options = SCHEDULERS[scheduler]
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **options)
    pipeline.set_progress_bar_config(disable=True)
    sizes = {"original_size": (64, 80), "target_size": (64, 80)} if name == "xl" else {}
    expected = pipeline(
        prompt=PROMPTS,
        negative_prompt=[config.negative_prompt] * 2,
        image=model.encode_images(images),
        control_image=[torch.from_numpy(condition).permute(0, 3, 1, 2) for condition in shown],
        controlnet_conditioning_scale=[0.65, 0.45],
        num_inference_steps=config.steps,
        strength=config.strength,
        guidance_scale=config.guidance_scale,
        generator=torch.Generator().manual_seed(0),
        height=64,
        width=80,
        output_type="np",
        **sizes,
    ).images
    restyled = restyle_batch(model, images, shown, PROMPTS, config, noise_for(model, 2))
    assert restyled.shape == images.shape and restyled.dtype == np.float32
    assert np.abs(restyled - images).max() > 0.05  # it did something
    np.testing.assert_allclose(restyled, expected, atol=1e-4)


def test_each_frame_has_its_own_prompt_condition_and_noise(models):
    model, images, shown, noise = models["sd"], pictures(2, 64, 80), conditions(2), noise_for(models["sd"], 2)
    both = restyle_batch(model, images, shown, PROMPTS, CONFIG, noise)
    for i in range(2):
        alone = restyle_batch(
            model, images[i : i + 1], [c[i : i + 1] for c in shown], PROMPTS[i : i + 1], CONFIG, noise[i : i + 1]
        )
        np.testing.assert_array_equal(alone[0], both[i])
    swapped = restyle_batch(model, images, shown, PROMPTS[::-1], CONFIG, noise)
    assert np.abs(swapped - both).max() > 1e-4


def test_strength_is_each_frames_own(plain):
    images, noise, strengths = pictures(2, 64, 64), noise_for(plain, 2, 64, 64), np.array([0.2, 0.8])
    mixed = restyle_batch(plain, images, [], PROMPTS, CONFIG, noise, strength=strengths)
    for i, strength in enumerate(strengths):
        config = CONFIG.model_copy(update={"strength": strength})
        alone = restyle_batch(plain, images[i : i + 1], [], PROMPTS[i : i + 1], config, noise[i : i + 1])
        np.testing.assert_array_equal(mixed[i], alone[0])
    same = restyle_batch(plain, images, [], PROMPTS, CONFIG, noise)
    assert (np.abs(mixed - same).max(axis=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize("name", ["sd", "xl"])
def test_half_precision(folders, models, name):
    """Every part computes in the model's type, latents and solvers stay in float32; the picture is nearly the same."""
    half = load_base_model(folders[name], controlnets=[DEPTH, EDGE], dtype=torch.bfloat16)
    assert {half.unet.dtype, half.controlnets[0].model.dtype, half.text_encoders[-1].dtype} == {torch.bfloat16}
    given = pictures(1, 64, 64), conditions(1, 64, 64), ["liver"], CONFIG, noise_for(half, 1, 64, 64)
    difference = restyle_batch(half, *given) - restyle_batch(models[name], *given)
    assert 0 < np.abs(difference).mean() < 0.03


def test_first_step_takes_at_least_one_step():
    assert first_step(20, 0.65) == 7
    assert first_step(20, 1.0) == 0
    assert first_step(20, 0.01) == 19


@pytest.mark.parametrize("name, scheduler", [("sd", "dpmpp_2m_karras"), ("sd", "euler"), ("v", "ddim")])
def test_one_strength_for_all_pixels_is_the_frames(models, name, scheduler):
    model = replace(models[name], controlnets=())
    config = CONFIG.model_copy(update={"scheduler": scheduler})
    given = model, pictures(2, 64, 64), [], PROMPTS, config, noise_for(model, 2, 64, 64)
    everywhere = np.full((2, 64, 64), config.strength, np.float32)
    np.testing.assert_array_equal(restyle_batch(*given, strength=everywhere), restyle_batch(*given))


def final_latents(monkeypatch, model, images, config, strength):
    """What restyle_batch decodes at the end: decoders with attention mix parts that the sampler kept apart."""
    seen = []
    decode = type(model).decode_latents
    monkeypatch.setattr(
        type(model), "decode_latents", lambda self, latents: seen.append(latents) or decode(self, latents)
    )
    restyle_batch(model, images, [], ["liver"], config, noise_for(model, 1, 64, 64), strength=strength)
    return seen[0]


@pytest.mark.parametrize("name", ["sd", "v"])
@pytest.mark.parametrize("scheduler", ["dpmpp_2m_karras", "dpmpp_2m", "euler"])
def test_what_has_no_strength_stays(monkeypatch, models, name, scheduler):
    model, images = replace(models[name], controlnets=()), pictures(1, 64, 64)
    strength = np.zeros((1, 64, 64), np.float32)
    strength[:, :, 32:] = 0.8
    config = CONFIG.model_copy(update={"scheduler": scheduler})
    clean = model.encode_images(images)
    found = final_latents(monkeypatch, model, images, config, strength)
    torch.testing.assert_close(found[..., :4], clean[..., :4], atol=1e-4, rtol=1e-4)
    assert (found - clean)[..., 4:].abs().mean() > 0.05


def test_weaker_parts_change_less(monkeypatch, plain):
    """Half of the picture begins at a later step than the other half."""
    images, strength = pictures(1, 64, 64), np.full((1, 64, 64), 0.9, np.float32)
    strength[:, :, 32:] = 0.2
    change = (final_latents(monkeypatch, plain, images, CONFIG, strength) - plain.encode_images(images)).abs()
    assert 0.01 < change[..., 4:].mean() < 0.5 * change[..., :4].mean()


def test_detail_that_the_autoencoder_loses_comes_back(plain):
    images, noise = pictures(2, 64, 64), noise_for(plain, 2, 64, 64)
    without = restyle_batch(plain, images, [], PROMPTS, CONFIG, noise)
    lost = images - plain.decode_latents(plain.encode_images(images))
    restored = restyle_batch(plain, images, [], PROMPTS, CONFIG.model_copy(update={"detail": 0.5}), noise)
    np.testing.assert_allclose(restored, (without + 0.5 * lost).clip(0, 1), atol=1e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_output_that_predicts_clean_latents(prediction):
    alpha, sigma = 0.8, 0.6
    clean, noise = standard_noise(2, 4, 8, 8), standard_noise(2, 4, 8, 8, seed=1)
    output = noise if prediction == "epsilon" else alpha * noise - sigma * clean  # Salimans and Ho 2022
    torch.testing.assert_close(model_output(prediction, alpha * clean + sigma * noise, clean, alpha, sigma), output)


def test_odd_sizes_are_padded_and_cropped(models):
    model = models["sd"]
    assert model.pixel_multiple == 16 and model.latent_shape(50, 70) == (4, 8, 10)
    images = pictures(1, 50, 70)
    given = conditions(1, 50, 70), ["liver"], CONFIG, noise_for(model, 1, 50, 70)
    restyled = restyle_batch(model, images, *given)
    assert restyled.shape == (1, 50, 70, 3)
    edged = np.pad(images, ((0, 0), (0, 14), (0, 10), (0, 0)), mode="edge")
    padded = [np.pad(condition, ((0, 0), (0, 14), (0, 10), (0, 0)), mode="edge") for condition in given[0]]
    np.testing.assert_array_equal(restyle_batch(model, edged, padded, *given[1:])[:, :50, :70], restyled)


class TestTiles:
    def test_cover_and_overlap(self):
        assert tile_starts(64, 64) == [0]
        for size, tile in [(65, 64), (96, 64), (160, 64), (161, 48)]:
            starts = tile_starts(size, tile)
            assert starts[0] == 0 and starts[-1] == size - tile
            assert max(np.diff(starts)) <= tile - tile // 4

    def test_window(self):
        window = blend_window((8, 16))
        assert window.shape == (8, 16) and window.min() > 0
        torch.testing.assert_close(window, window.flip(0, 1))

    def test_one_tile_is_the_whole(self, models):
        model = models["sd"]
        given = model, pictures(1, 64, 64), conditions(1, 64, 64), ["liver"]
        noise = noise_for(model, 1, 64, 64)
        whole = restyle_batch(*given, CONFIG, noise)
        tiled = restyle_batch(*given, CONFIG.model_copy(update={"tile_px": 64}), noise)
        np.testing.assert_array_equal(tiled, whole)

    def test_tiles_see_their_own_part(self, models, monkeypatch):
        """With a U-Net that works pixel by pixel, tiles give the whole picture's result."""
        model, seen = models["sd"], []

        def pixelwise(noisy, times, **_):
            seen.append(tuple(noisy.shape[2:]))
            return type("Output", (), {"sample": noisy * 0.5})

        def residuals(noisy, times, *, controlnet_cond, **_):
            assert controlnet_cond.shape[2:] == noisy.shape[2:]
            return [], torch.zeros(())

        local = replace(
            model,
            unet=_Called(pixelwise, model.unet.config),
            controlnets=tuple(replace(net, model=_Called(residuals, net.model.config)) for net in model.controlnets),
        )
        given = local, pictures(1, 96, 160), conditions(1, 96, 160), ["liver"]
        noise = noise_for(model, 1, 96, 160)
        whole = restyle_batch(*given, CONFIG, noise)
        assert set(seen) == {(12, 20)}
        seen.clear()
        tiled = restyle_batch(*given, CONFIG.model_copy(update={"tile_px": 64}), noise)
        assert set(seen) == {(8, 8)}
        np.testing.assert_allclose(tiled, whole, atol=1e-5)

    def test_seams_are_blended(self, plain):
        """Where tiles disagree the result goes over from one to the other, at most a step of the ramp at a time."""
        count = iter(range(3))
        local = replace(
            plain,
            unet=_Called(
                lambda noisy, times, **_: type("Output", (), {"sample": torch.full_like(noisy, next(count))}),
                plain.unet.config,
            ),
        )
        config = CONFIG.model_copy(update={"tile_px": 128, "guidance_scale": 1.0})
        denoiser = Denoiser(local, config, MemoryLimit(local, 1), ["liver"], [])
        found = denoiser.predict(torch.zeros(1, 4, 16, 40), torch.tensor([500]), [0], [(0.8, 0.6)])[0, 0, 0]
        assert found[0] == 0 and found[-1] == 2 and len(found.unique()) > 6
        assert found.diff().min() >= 0 and found.diff().max() < 0.3


class _Called(torch.nn.Module):
    """A function in the place of a model."""

    def __init__(self, function, config):
        super().__init__()
        self.function, self.config = function, config
        self.controlnet_cond_embedding = torch.nn.AvgPool2d(8)

    def forward(self, *values, **keywords):
        return self.function(*values, **keywords)


class TestMemory:
    @pytest.fixture
    def gpu(self, plain, monkeypatch):
        """The model as if it were on a GPU that holds one frame at a time."""
        own, sizes = plain.unet.forward, []

        def limited(noisy, *values, **keywords):
            sizes.append(len(noisy) // 2)  # guidance doubles it
            if len(noisy) > 2:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            return own(noisy, *values, **keywords)

        monkeypatch.setattr(plain.unet, "forward", limited)
        monkeypatch.setattr(MemoryLimit, "_frames", staticmethod(lambda model, asked: model.largest_batch or asked))
        monkeypatch.setattr(plain, "largest_batch", None)
        return plain, sizes

    def test_batches_are_halved(self, gpu, capsys):
        model, sizes = gpu
        given = pictures(3, 64, 64), [], ["liver"] * 3, CONFIG.model_copy(update={"batch_size": 3})
        noise = noise_for(model, 3, 64, 64)
        restyled = restyle_batch(model, *given, noise)
        assert sizes[:4] == [3, 1, 1, 1] and max(sizes[1:]) == 1
        assert model.largest_batch == 1
        assert "memory ran out with 3 frames at a time; going on with 1" in capsys.readouterr().out
        singly = restyle_batch(model, *given[:3], CONFIG.model_copy(update={"batch_size": 1}), noise)
        np.testing.assert_allclose(restyled, singly, atol=1e-4)  # sums of another order

    def test_one_frame_too_many(self, plain, monkeypatch):
        def full(*values, **keywords):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

        monkeypatch.setattr(plain.vae, "encode", full)
        with pytest.raises(InputError, match=r"one frame(.|\n)*tile_px"):
            restyle_batch(plain, pictures(1, 64, 64), [], ["liver"], CONFIG, noise_for(plain, 1, 64, 64))


def test_guidance_of_one_is_no_guidance(plain):
    config = CONFIG.model_copy(update={"guidance_scale": 1.0})
    given = plain, pictures(1, 64, 64), [], ["liver"]
    noise = noise_for(plain, 1, 64, 64)
    without = restyle_batch(*given, config, noise)
    other = restyle_batch(*given, config.model_copy(update={"negative_prompt": "real"}), noise)
    np.testing.assert_array_equal(other, without)
    assert np.abs(restyle_batch(*given, CONFIG, noise) - without).max() > 1e-3


def test_ancestral_draws_from_the_frames_own_seed(plain):
    config = CONFIG.model_copy(update={"scheduler": "euler_ancestral"})
    images, noise = pictures(2, 64, 64), noise_for(plain, 2, 64, 64)
    both = restyle_batch(plain, images, [], ["liver"] * 2, config, noise, seeds=[3, 4])
    second = restyle_batch(plain, images[1:], [], ["liver"], config, noise[1:], seeds=[4])
    np.testing.assert_array_equal(second[0], both[1])
    other = restyle_batch(plain, images[1:], [], ["liver"], config, noise[1:], seeds=[5])
    assert np.abs(other - second).max() > 1e-3
    with pytest.raises(ValueError, match="seeds"):
        restyle_batch(plain, images, [], ["liver"] * 2, config, noise)


class TestReference:
    def run(self, model, weight, references, images=None):
        config = CONFIG.model_copy(update={"reference_weight": weight})
        images = pictures(1, 64, 64) if images is None else images
        noise = noise_for(model, len(images), 64, 64)
        return restyle_batch(model, images, [], ["liver"] * len(images), config, noise, references=references)

    def test_the_reference_matters_and_its_weight(self, plain):
        dark, bright = pictures(1, 64, 64, seed=3) * 0.2, 1 - pictures(1, 64, 64, seed=3) * 0.2
        none = self.run(plain, 0.0, None)
        assert np.abs(self.run(plain, 1.0, dark) - none).max() > 1e-4
        assert np.abs(self.run(plain, 1.0, dark) - self.run(plain, 1.0, bright)).max() > 1e-5
        assert np.abs(self.run(plain, 1.0, dark) - self.run(plain, 0.3, dark)).max() > 1e-5
        np.testing.assert_array_equal(self.run(plain, 0.0, None), none)  # the U-Net got its own attention back

    def test_each_frame_has_its_own_reference(self, plain):
        images, references = pictures(2, 64, 64), pictures(2, 64, 64, seed=3)
        both = self.run(plain, 0.65, references, images)
        first = self.run(plain, 0.65, references[:1], images[:1])
        np.testing.assert_array_equal(first[0], both[0])

    def test_attending_to_oneself_is_plain_attention(self, plain):
        """Keys and values given twice weigh the same: attention does not change."""
        from splatscope.restyle.reference_attention import ReferenceAttention

        noisy, times = standard_noise(2, 4, 8, 8), torch.tensor([400, 400])
        words = plain.encode_prompts(["liver"] * 2).hidden
        reference = ReferenceAttention(plain.unet, 1.0)
        with torch.no_grad():
            expected = plain.unet(noisy, times, words).sample
            with reference:
                for mode in (reference.recording(), reference.attending(1)):
                    with mode:
                        found = plain.unet(noisy, times, words).sample
        torch.testing.assert_close(found, expected)

    def test_missing_reference(self, plain):
        with pytest.raises(ValueError, match="expected references"):
            self.run(plain, 0.5, None)


BAD = {
    "integers": ({"images": np.zeros((1, 64, 64, 3), np.uint8)}, "images float32"),
    "no ControlNet for it": ({"conditions": [pictures(1, 64, 64)]}, "expected 0 conditions"),
    "noise of another size": ({"noise": standard_noise(1, 4, 8, 9)}, r"noise \[1, 4, 8, 8\], got \[1, 4, 8, 9\]"),
    "prompts": ({"prompts": []}, "expected 1 prompts, got 0"),
    "strength": ({"strength": np.array([0.0])}, "above 0"),
    "strengths of another size": ({"strength": np.ones((1, 8, 8), np.float32)}, r"strength \[1, 64, 64\]"),
}


@pytest.mark.parametrize("change, message", BAD.values(), ids=BAD)
def test_wrong_arguments(plain, change, message):
    given = {
        "images": pictures(1, 64, 64),
        "conditions": [],
        "prompts": ["liver"],
        "config": CONFIG,
        "noise": standard_noise(1, 4, 8, 8),
    }
    with pytest.raises(ValueError, match=message):
        restyle_batch(plain, **(given | change))
