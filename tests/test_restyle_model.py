"""restyle.base_model: what is loaded, and what is refused and why."""

import json
import shutil

import diffusers
import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from restyle_material import TEXT_WIDTH, edit_json, make_controlnet, make_model, make_unet, pictures, standard_noise
from splatscope.config.restyle import ControlNetSetting, LoraSetting, SamplerConfig
from splatscope.errors import InputError
from splatscope.restyle.base_model import load_base_model
from splatscope.restyle.sampler import restyle_batch

DEPTH = ControlNetSetting(model="controlnet_depth", condition="depth")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def refused(pattern: str):
    return pytest.raises(InputError, match=f"(?s){pattern}")


class TestLoading:
    def test_parts(self, folder):
        scene = ControlNetSetting(model="controlnet_scene", condition="scene", weight=0.7)
        model = load_base_model(folder, controlnets=[scene, DEPTH])
        assert (model.name, model.licence, model.prediction_type) == ("tiny", "mit", "epsilon")
        assert (model.latent_scale, model.pixel_multiple, model.zero_empty_prompt) == (8, 16, False)
        assert [(net.condition, net.weight) for net in model.controlnets] == [("scene", 0.7), ("depth", 1.0)]
        assert not any(value.requires_grad for value in model.unet.parameters())
        assert not model.unet.training

    def test_latents_have_no_chance_in_them_and_come_back(self, folder):
        model, images = load_base_model(folder), pictures(2, 64, 48)
        latents = model.encode_images(images)
        assert latents.shape == (2, 4, 8, 6) and latents.dtype == torch.float32
        vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae")
        mean = vae.encode(torch.from_numpy(images).permute(0, 3, 1, 2) * 2 - 1).latent_dist.mean
        torch.testing.assert_close(latents, mean * vae.config.scaling_factor)
        decoded = model.decode_latents(latents)
        assert decoded.shape == images.shape and decoded.dtype == np.float32
        expected = (vae.decode(mean).sample / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
        np.testing.assert_allclose(decoded, expected.detach(), atol=1e-5)

    def test_tiny_autoencoder(self, copy):
        torch.manual_seed(0)
        small = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
        vae = diffusers.AutoencoderTiny(**small, latent_channels=4, scaling_factor=0.5, shift_factor=0.25)
        shutil.rmtree(copy / "vae")
        vae.save_pretrained(copy / "vae")
        index = json.loads((copy / "model_index.json").read_text())
        edit_json(copy / "model_index.json", vae=["diffusers", "AutoencoderTiny"], **{"unet": index["unet"]})
        model, images = load_base_model(copy), pictures(1, 64, 64)
        assert model.latent_scale == 8
        encoded = vae.encode(torch.from_numpy(images).permute(0, 3, 1, 2) * 2 - 1).latents
        torch.testing.assert_close(model.encode_images(images), (encoded - 0.25) * 0.5)
        np.testing.assert_allclose(
            model.decode_latents(model.encode_images(images)),
            (vae.decode(encoded).sample / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).detach(),
            atol=1e-5,
        )

    def test_half_precision_files_as_float32(self, folder, copy):
        path = copy / "unet" / "diffusion_pytorch_model.safetensors"
        save_file({name: value.half() for name, value in load_file(path).items()}, path, {"format": "pt"})
        model = load_base_model(copy)
        assert model.unet.dtype == torch.float32
        torch.testing.assert_close(
            model.unet.state_dict(), load_base_model(folder).unet.state_dict(), atol=1e-3, rtol=0
        )

    def test_files_of_the_half_precision_variant_alone(self, copy):
        for path in sorted(copy.glob("unet/*.safetensors")):
            path.rename(path.with_suffix(".fp16.safetensors"))
        assert load_base_model(copy).unet.dtype == torch.float32

    @pytest.mark.parametrize(
        "card, licence",
        [
            ("---\nlicense: creativeml-openrail-m\n---\n", "creativeml-openrail-m"),
            ("---\nlicense: other\nlicense_name: some-community\n---\n", "some-community"),
            ("# no front matter\n", "unknown (see copy/README.md)"),
            (None, "unknown (copy has no model card: see where it was published)"),
        ],
    )
    def test_licence(self, copy, card, licence):
        (copy / "README.md").unlink() if card is None else (copy / "README.md").write_text(card)
        assert load_base_model(copy).licence == licence

    def test_licences_of_all_that_went_in(self, folder, tmp_path):
        shutil.copytree(folder / "controlnet_depth", tmp_path / "net")
        (tmp_path / "net" / "README.md").write_text("---\nlicense: openrail\n---\n")
        save_file(lora_weights(make_unet()), tmp_path / "style.safetensors")
        outside = ControlNetSetting(model=str(tmp_path / "net"), condition="depth")
        lora = LoraSetting(path=str(tmp_path / "style.safetensors"))
        assert load_base_model(folder, controlnets=[DEPTH, outside], loras=[lora]).asset_licences == {
            "tiny": "mit",
            "controlnet_depth": "mit",
            outside.model: "openrail",
            "style.safetensors": f"unknown ({tmp_path.name} has no model card: see where it was published)",
        }


class TestPrompts:
    def test_order_and_neighbours(self, folder):
        model = load_base_model(folder)
        prompts = ["liver", "a real laparoscopy", "liver", ""]
        embedding = model.encode_prompts(prompts)
        assert embedding.hidden.shape == (4, 8, TEXT_WIDTH) and embedding.pooled is None
        for i, prompt in enumerate(prompts):
            torch.testing.assert_close(embedding.hidden[i], model.encode_prompts([prompt]).hidden[0], atol=0, rtol=0)
        assert (embedding.hidden[0] - embedding.hidden[1]).abs().max() > 1e-3

    def test_long_prompts_are_cut_and_said_so_once(self, folder, capsys):
        model = load_base_model(folder)
        long = " ".join(["liver"] * 7)
        cut = model.encode_prompts([long, long]).hidden
        model.encode_prompts([long])
        assert capsys.readouterr().out.count("only the first 8 tokens") == 1
        torch.testing.assert_close(cut[0], model.encode_prompts([" ".join(["liver"] * 6)]).hidden[0])

    def test_xl_has_two_encoders_and_zeros_for_the_empty_negative(self, tmp_path):
        model = load_base_model(make_model(tmp_path / "xl", sdxl=True))
        embedding = model.encode_prompts(["liver", "style"])
        assert embedding.hidden.shape == (2, 8, 2 * TEXT_WIDTH) and embedding.pooled.shape == (2, 12)
        empty = model.encode_negative("", 3)
        assert empty.hidden.shape == (3, 8, 2 * TEXT_WIDTH) and not empty.hidden.any() and not empty.pooled.any()
        assert model.encode_negative("style", 1).hidden.any()
        restyled = restyle_batch(
            model, pictures(1, 64, 64), [], ["liver"], SamplerConfig(steps=2), standard_noise(1, 4, 8, 8)
        )
        assert np.isfinite(restyled).all()


def lora_weights(unet, rank: int = 4, seed: int = 0) -> dict[str, torch.Tensor]:
    """Of each projection in the U-Net's self-attentions, in diffusers' format."""
    generator, weights = torch.Generator().manual_seed(seed), {}
    for name, module in unet.named_modules():
        if name.endswith(("attn1.to_q", "attn1.to_out.0")):
            weights[f"unet.{name}.lora_A.weight"] = torch.randn(rank, module.in_features, generator=generator)
            weights[f"unet.{name}.lora_B.weight"] = torch.randn(module.out_features, rank, generator=generator)
    return weights


def as_kohya(weights: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    renamed = {}
    for key, value in weights.items():
        module, _, half = key.removeprefix("unet.").removesuffix(".weight").rpartition(".lora_")
        name = "lora_unet_" + module.replace(".", "_")
        renamed[f"{name}.lora_{'down' if half == 'A' else 'up'}.weight"] = value
        renamed[f"{name}.alpha"] = torch.tensor(alpha)
    return renamed


class TestLoras:
    def test_several_in_both_formats(self, folder, tmp_path):
        plain = load_base_model(folder).unet.state_dict()
        unet = make_unet()
        first, second = lora_weights(unet), lora_weights(unet, rank=2, seed=1)
        save_file(first, tmp_path / "first.safetensors")
        (tmp_path / "second").mkdir()
        save_file(as_kohya(second, alpha=1.0), tmp_path / "second" / "any name.safetensors")
        loras = [
            LoraSetting(path=str(tmp_path / "first.safetensors"), weight=0.45),
            LoraSetting(path=str(tmp_path / "second"), weight=-0.3),
        ]
        merged = load_base_model(folder, loras=loras).unet.state_dict()
        assert merged.keys() == plain.keys()
        changed = 0
        for key, value in plain.items():
            halves = [f"unet.{key.removesuffix('.weight')}.lora_{half}.weight" for half in "AB"]
            if halves[0] in first:
                changed += 1
                value = value + 0.45 * first[halves[1]] @ first[halves[0]]
                value = value - 0.3 * (1 / 2) * second[halves[1]] @ second[halves[0]]  # kohya: alpha / rank
            torch.testing.assert_close(merged[key], value, atol=1e-5, rtol=1e-5)
        assert changed == 8

    def test_what_diffusers_saves_with_its_alpha(self, folder, tmp_path):
        """Written by peft and diffusers as a training does, with alpha 1 of rank 4 in the file's metadata."""
        pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder)
        settings = LoraConfig(r=4, lora_alpha=1, target_modules=["to_q", "q_proj"], init_lora_weights=False)
        pipeline.unet.add_adapter(settings)
        pipeline.text_encoder.add_adapter(settings)
        diffusers.StableDiffusionPipeline.save_lora_weights(
            tmp_path,
            get_peft_model_state_dict(pipeline.unet),
            get_peft_model_state_dict(pipeline.text_encoder),
            unet_lora_adapter_metadata=settings.to_dict(),
            text_encoder_lora_adapter_metadata=settings.to_dict(),
        )
        model = load_base_model(folder, loras=[LoraSetting(path=str(tmp_path))])
        noisy, times = standard_noise(1, 4, 8, 8), torch.tensor([300])
        embedding = model.encode_prompts(["liver"])
        tokens = pipeline.tokenizer(["liver"], padding="max_length", return_tensors="pt").input_ids
        with torch.no_grad():
            hidden = pipeline.text_encoder(tokens).last_hidden_state
            torch.testing.assert_close(embedding.hidden, hidden, atol=1e-5, rtol=1e-5)
            expected = pipeline.unet(noisy, times, hidden).sample
            found = model.unet(noisy, times, embedding.hidden).sample
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        without = load_base_model(folder).encode_prompts(["liver"]).hidden
        assert (embedding.hidden - without).abs().max() > 1e-3

    def refuse(self, folder, tmp_path, weights, pattern):
        path = tmp_path / "lora.safetensors"
        save_file(weights, path)
        with refused(rf"lora\.safetensors.*{pattern}"):
            load_base_model(folder, loras=[LoraSetting(path=str(path))])

    def test_ranks_that_differ(self, folder, tmp_path):
        weights = lora_weights(make_unet())
        key = next(key for key in weights if key.endswith("lora_B.weight"))
        weights[key] = weights[key][:, :3].contiguous()
        self.refuse(folder, tmp_path, weights, r"attn1.*lora_B.*\[16, 3\].*\[16, 4\] \(rank 4\)")

    def test_shapes_of_another_model(self, folder, tmp_path):
        weights = lora_weights(make_unet())
        key = next(key for key in weights if key.endswith("lora_A.weight"))
        weights[key] = torch.zeros(4, 320)
        self.refuse(folder, tmp_path, weights, r"lora_A.*\[4, 320\].*\[4, 16\]")

    def test_modules_of_another_model(self, folder, tmp_path):
        weights = {"unet.down_blocks.7.attn.to_q.lora_A.weight": torch.zeros(4, 16)}
        weights["unet.down_blocks.7.attn.to_q.lora_B.weight"] = torch.zeros(16, 4)
        self.refuse(folder, tmp_path, weights, r"down_blocks\.7.*no such module")
        weights = {"text_encoder_2.layers.0.q_proj.lora_A.weight": torch.zeros(4, 16)}
        self.refuse(folder, tmp_path, weights, r"text_encoder_2.*part that the model lacks")

    def test_half_a_pair(self, folder, tmp_path):
        weights = lora_weights(make_unet())
        weights.pop(next(key for key in weights if key.endswith("lora_B.weight")))
        self.refuse(folder, tmp_path, weights, "other half is missing")

    def test_not_finite(self, folder, tmp_path):
        weights = lora_weights(make_unet())
        next(iter(weights.values()))[0, 0] = float("nan")
        self.refuse(folder, tmp_path, weights, "not finite")

    def test_no_lora(self, folder, tmp_path):
        self.refuse(folder, tmp_path, {"unet.conv_in.weight": torch.zeros(1)}, "of no LoRA")

    def test_files(self, folder, tmp_path):
        def load(path):
            load_base_model(folder, loras=[LoraSetting(path=str(path))])

        with refused("no such file"):
            load(tmp_path / "lora.safetensors")
        with refused(r"no \.safetensors file"):
            load(tmp_path)
        torch.save({}, tmp_path / "lora.pt")
        with refused("a pickle"):
            load(tmp_path / "lora.pt")
        (tmp_path / "lora.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
        with refused("a LoRA in diffusers' or kohya's format"):
            load(tmp_path / "lora.safetensors")


def as_pickle(part) -> None:
    path = part / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(path), path.with_suffix(".bin"))
    path.unlink()


class TestRefusals:
    def test_pickles(self, folder, copy):
        as_pickle(copy / "unet")
        with refused(r"unet.*diffusion_pytorch_model\.bin, which are pickles.*allow_pickles.*from_pretrained"):
            load_base_model(copy)
        allowed = load_base_model(copy, allow_pickles=True)
        torch.testing.assert_close(allowed.unet.state_dict(), load_base_model(folder).unet.state_dict())

    def test_pickles_that_run_something(self, copy, tmp_path):
        """Even when pickles are allowed, what they would call is not called."""

        class Mischief:
            def __reduce__(self):
                return (open, (str(tmp_path / "broke in"), "w"))

        as_pickle(copy / "unet")
        torch.save({"conv_in.weight": Mischief()}, copy / "unet" / "diffusion_pytorch_model.bin")
        with refused("unet"):
            load_base_model(copy, allow_pickles=True)
        assert not (tmp_path / "broke in").exists()

    def test_cut_off_weights(self, copy):
        path = copy / "unet" / "diffusion_pytorch_model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        with refused(r"diffusion_pytorch_model\.safetensors.*broken.*complete"):
            load_base_model(copy)

    def test_header_of_nonsense(self, copy):
        (copy / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\xff" * 64)
        with refused(r"vae.*broken"):
            load_base_model(copy)

    @pytest.mark.parametrize("part", ["unet", "text_encoder"])
    def test_weights_missing_in_the_file(self, copy, part):
        """diffusers and transformers would put random numbers there, and go on."""
        path = next((copy / part).glob("*.safetensors"))
        weights = load_file(path)
        weights.pop(next(name for name in weights if name.endswith("bias")))
        save_file(weights, path, {"format": "pt"})
        with refused(rf"{part}.*no weights for .*bias"):
            load_base_model(copy)

    def test_weights_that_are_not_finite(self, copy):
        path = copy / "unet" / "diffusion_pytorch_model.safetensors"
        weights = load_file(path)
        weights["conv_in.bias"][0] = float("inf")
        save_file(weights, path, {"format": "pt"})
        with refused(r"not finite in conv_in\.bias"):
            load_base_model(copy)

    def test_shapes_other_than_the_configuration_says(self, copy):
        edit_json(copy / "unet" / "config.json", block_out_channels=[16, 64])
        with refused("unet"):
            load_base_model(copy)

    def test_folders(self, folder, copy, tmp_path):
        with refused("nowhere.*no such folder"):
            load_base_model(tmp_path / "nowhere")
        with refused(r"model_index\.json.*no such file"):
            load_base_model(folder / "unet")
        (tmp_path / "sd.safetensors").write_bytes(b"")
        with refused(r"sd\.safetensors.*one file.*from_single_file"):
            load_base_model(tmp_path / "sd.safetensors")
        shutil.rmtree(copy / "text_encoder")
        with refused("text_encoder.*no such folder"):
            load_base_model(copy)

    def test_no_weights_no_schedule_no_vocabulary(self, copy):
        (copy / "tokenizer" / "tokenizer.json").write_text("{}")
        with refused("tokenizer"):
            load_base_model(copy)
        (copy / "scheduler" / "scheduler_config.json").unlink()
        with refused("scheduler_config.*no such file"):
            load_base_model(copy)

    def test_hub_without_a_network(self, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with refused("nobody/no-model.*to be had from the hub.*huggingface-cli download nobody/no-model --local-dir"):
            load_base_model("nobody/no-model")

    def test_other_kinds_of_model(self, copy):
        index = (copy / "model_index.json").read_text()
        edit_json(copy / "model_index.json", unet=["diffusers", "FluxTransformer2DModel"])
        with refused("key unet.*FluxTransformer2DModel.*UNet2DConditionModel"):
            load_base_model(copy)
        (copy / "model_index.json").write_text(index)
        edit_json(copy / "scheduler" / "scheduler_config.json", prediction_type="sample")
        with refused("prediction_type.*'sample'.*epsilon or v_prediction"):
            load_base_model(copy)

    def test_inpainting_model(self, copy):
        make_unet(in_channels=9).save_pretrained(copy / "unet")
        with refused("in_channels.*9.*4.*inpainting"):
            load_base_model(copy)

    def test_missing_controlnet(self, folder):
        with refused("controlnet_thermal.*no such folder.*a ControlNet for depth"):
            load_base_model(folder, controlnets=[ControlNetSetting(model="controlnet_thermal", condition="depth")])

    def test_controlnet_of_another_model(self, folder, tmp_path):
        make_controlnet(make_unet(cross_attention_dim=24)).save_pretrained(tmp_path / "net")
        with refused("cross_attention_dim.*24.*16"):
            load_base_model(folder, controlnets=[ControlNetSetting(model=str(tmp_path / "net"), condition="depth")])

    def test_controlnet_of_another_condition(self, folder):
        with refused("conditioning_channels.*3.*8, what scene has"):
            load_base_model(folder, controlnets=[ControlNetSetting(model="controlnet_depth", condition="scene")])
