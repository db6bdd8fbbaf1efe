"""The small model's autoencoder: TAEF2 (MIT) narrowed from 32 to 8 latent channels, as diffusers' AutoencoderTiny.

TAEF2 is taesd's layout with a pooled branch in the blocks at 1/8 scale, which AutoencoderTiny does not have. All that
lies above that scale is copied. What lies at it is learned anew from TAEF2's own features (`narrow`), which needs no
full-size images and so minutes rather than hours; then the decoder is tuned on pixels (`tune_decoder`).
Latents have zero mean and unit variance, so `scaling_factor` is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from torchmetrics.functional.image import structural_similarity_index_measure

from splatscope.errors import InputError

LATENT_CHANNELS = 8
LATENT_NOISE = 0.08  # standard deviation of the noise on latents in training: the decoder must bear a sampler's errors
_ENCODER_TAIL = 11  # first encoder layer at 1/8 scale
_ENCODER_LAST = 14
_DECODER_HEAD = 5  # decoder layers below this one lie at 1/8 scale
_WIDTH = 64


class Taef2:
    """TAEF2's weights and the parts at 1/8 scale that the narrow autoencoder learns from."""

    def __init__(self, folder: str | Path):
        """Read taef2_encoder.pth and taef2_decoder.pth; raises InputError when one is missing."""
        self.encoder, self.decoder = (self._read(Path(folder) / f"taef2_{part}.pth") for part in ("encoder", "decoder"))

    @staticmethod
    def _read(path: Path) -> dict[str, torch.Tensor]:
        if not path.is_file():
            raise InputError(
                path,
                found="no such file",
                expected="TAEF2's weights",
                remedy="get taef2_encoder.pth and taef2_decoder.pth from github.com/madebyollin/taesd",
            )
        return {key: value.float() for key, value in torch.load(path, weights_only=True).items()}

    def latents(self, features: torch.Tensor) -> torch.Tensor:
        """[N, 64, h, w] features of encoder layer 10 -> [N, 32, h, w] latents."""
        for layer in range(_ENCODER_TAIL, _ENCODER_LAST):
            features = _pooled_block(features, self.encoder, layer)
        return F.conv2d(
            features, self.encoder[f"{_ENCODER_LAST}.weight"], self.encoder[f"{_ENCODER_LAST}.bias"], padding=1
        )

    def decoder_features(self, latents: torch.Tensor) -> torch.Tensor:
        """[N, 32, h, w] latents -> [N, 64, h, w], what the decoder's first upsampling is given."""
        features = torch.tanh(latents / 3) * 3
        features = F.relu(F.conv2d(features, self.decoder["1.weight"], self.decoder["1.bias"], padding=1))
        for layer in (3, 4, 5):
            features = _pooled_block(features, self.decoder, layer)
        return features


def _pooled_block(x: torch.Tensor, weights: dict[str, torch.Tensor], layer: int) -> torch.Tensor:
    w = {key.removeprefix(f"{layer}."): value for key, value in weights.items() if key.startswith(f"{layer}.")}
    pooled = F.group_norm(F.conv2d(x, w["pool.0.weight"]), 4, w["pool.1.weight"], w["pool.1.bias"])
    x = x + F.conv2d(F.relu(pooled), w["pool.3.weight"])
    y = x
    for part in (0, 2, 4):
        y = F.conv2d(y if part == 0 else F.relu(y), w[f"conv.{part}.weight"], w[f"conv.{part}.bias"], padding=1)
    return F.relu(x + y)


def start_from(teacher: Taef2) -> AutoencoderTiny:
    """An AutoencoderTiny with TAEF2's weights wherever the layouts agree."""
    vae = AutoencoderTiny(latent_channels=LATENT_CHANNELS, latent_magnitude=3, latent_shift=0.5, scaling_factor=1.0)
    encoder, decoder = vae.encoder.layers.state_dict(), vae.decoder.layers.state_dict()
    for key, value in teacher.encoder.items():
        if key in encoder and encoder[key].shape == value.shape:
            encoder[key] = value
    for key, value in teacher.decoder.items():
        layer, _, rest = key.partition(".")
        key = f"{int(layer) - 1}.{rest}"  # taesd counts its clamp as a layer
        if key in decoder and decoder[key].shape == value.shape:
            decoder[key] = value
    vae.encoder.layers.load_state_dict(encoder)
    vae.decoder.layers.load_state_dict(decoder)
    return vae.to(memory_format=torch.channels_last)


def narrow(
    vae: AutoencoderTiny,
    teacher: Taef2,
    features: torch.Tensor,
    steps: int,
    generator: torch.Generator,
    log: Callable[[str], None],
    batch: int = 8,
    crop: int = 16,
) -> None:
    """Teach the layers at 1/8 scale, of both halves, to give the decoder what TAEF2 gives it.

    `features` [N, 64, h, w] are those of encoder layer 10 over the training images, learned in crops. A penalty keeps
    the latents near zero mean and unit variance; `fold_moments` does the rest.
    """
    tail, head = vae.encoder.layers[_ENCODER_TAIL:], vae.decoder.layers[:_DECODER_HEAD]
    parameters = [*tail.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    with torch.no_grad():
        scale = teacher.decoder_features(teacher.latents(features[:64].float())).std()
    for step in range(steps):
        chosen = torch.randint(len(features), (batch,), generator=generator)
        top, left = (int(torch.randint(size - crop + 1, (), generator=generator)) for size in features.shape[2:])
        given = features[chosen, :, top : top + crop, left : left + crop].float()
        given = given.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            wanted = teacher.decoder_features(teacher.latents(given))
        latents = tail(given)
        noisy = latents + LATENT_NOISE * torch.randn(latents.shape, generator=generator)
        got = head(torch.tanh(noisy / 3) * 3)
        moments = latents.mean((0, 2, 3)).square().mean() + (latents.var((0, 2, 3)) - 1).square().mean()
        loss = ((got - wanted) / scale).square().mean()
        optimizer.zero_grad()
        (loss + 0.1 * moments).backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            log(f"autoencoder narrow step {step} loss {loss.item():.4f} moments {moments.item():.4f}")


def tune_decoder(
    vae: AutoencoderTiny,
    images: torch.Tensor,
    steps: int,
    generator: torch.Generator,
    log: Callable[[str], None],
    batch: int = 4,
    crop: int = 12,
) -> None:
    """Tune the decoder on pixels, the encoder as it is: L1, L1 of differences, SSIM, and the strength of fine texture.

    `images` [N, 3, H, W] in -1..1; learned in crops of `crop` latents. No network that style is measured with has a
    say in it.
    """
    with torch.no_grad():
        latents = torch.cat([vae.encode(image[None].float()).latents for image in images])
    optimizer = torch.optim.Adam(vae.decoder.parameters(), lr=3e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-4, total_steps=steps, pct_start=0.1)
    margin = 1  # latents at the crop's border, whose surroundings the decoder does not see
    for step in range(steps):
        chosen = torch.randint(len(images), (batch,), generator=generator)
        top, left = (int(torch.randint(size - crop + 1, (), generator=generator)) for size in latents.shape[2:])
        given = latents[chosen, :, top : top + crop, left : left + crop]
        given = given + LATENT_NOISE * torch.randn(given.shape, generator=generator)
        wanted = images[chosen, :, 8 * top : 8 * (top + crop), 8 * left : 8 * (left + crop)].float()
        got = vae.decode(given.contiguous(memory_format=torch.channels_last)).sample
        inside = (..., slice(8 * margin, 8 * (crop - margin)), slice(8 * margin, 8 * (crop - margin)))
        got, wanted = got[inside], wanted[inside]
        error = (got - wanted).abs().mean()
        similarity = structural_similarity_index_measure(got, wanted, data_range=2.0)
        texture = sum((_texture(got, scale) - _texture(wanted, scale)).abs().mean() for scale in (1, 2))
        loss = error + 0.25 * _differences(got, wanted) + 0.1 * (1 - similarity) + 0.8 * texture
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            log(
                f"autoencoder decoder step {step} L1 {error.item():.4f} SSIM {similarity.item():.4f} "
                f"texture {texture.item():.4f}"
            )


def _differences(got: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of the differences between neighbours."""
    return sum((got.diff(dim=axis) - wanted.diff(dim=axis)).abs().mean() for axis in (2, 3))


def _texture(images: torch.Tensor, scale: int) -> torch.Tensor:
    """[N, 3, H, W] -> how strong texture is, as its standard deviation over patches of 8 pixels at this scale.

    It says nothing of where each speck is, which the latents do not know: an L1 error alone answers that with blur.
    """
    images = F.avg_pool2d(images, scale) if scale > 1 else images
    fine = images - F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    return (F.avg_pool2d(fine.square(), 8) + 1e-5).sqrt()


@torch.no_grad()
def fold_moments(vae: AutoencoderTiny, images: torch.Tensor) -> None:
    """Bring the latents of these images [N, 3, H, W] to zero mean and unit variance, changing nothing decoded.

    The decoder's first layer takes the inverse. It pads with zeros, which are then no longer zeros of the old latents,
    and clamps at 3 standard deviations: both differences are small once training has held the moments near 0 and 1.
    """
    latents = torch.cat([vae.encode(image[None]).latents for image in images])
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    last, first = vae.encoder.layers[-1], vae.decoder.layers[0]
    last.weight /= deviation.view(-1, 1, 1, 1)
    last.bias.copy_((last.bias - mean) / deviation)
    first.bias += (first.weight * mean.view(1, -1, 1, 1)).sum((1, 2, 3))
    first.weight *= deviation.view(1, -1, 1, 1)


@torch.no_grad()
def shallow_features(vae: AutoencoderTiny, images: torch.Tensor) -> torch.Tensor:
    """[N, 3, H, W] in -1..1 -> float16 [N, 64, H/8, W/8], the features that `narrow` learns from."""
    layers = vae.encoder.layers[:_ENCODER_TAIL]
    return torch.cat([layers(image[None].add(1).div(2)).half() for image in images])


@torch.no_grad()
def psnr(vae: AutoencoderTiny, images: torch.Tensor) -> list[float]:
    """Peak signal-to-noise ratio in dB of each reconstruction; images [N, 3, H, W] in -1..1."""
    result = []
    for image in images:
        restored = vae.decode(vae.encode(image[None]).latents).sample.clamp(-1, 1)
        result.append(float(10 * torch.log10(4 / (restored - image).square().mean())))
    return result
