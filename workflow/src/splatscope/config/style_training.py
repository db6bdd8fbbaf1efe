"""Settings of style training: LoRA of a diffusion model on real frames, ControlNet on frames with exact labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from splatscope.config.section import Section

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class TrainingConfig(Section):
    """What trainings of a LoRA and of a ControlNet have in common."""

    steps: Count = 3000
    """Optimisation steps."""
    batch_size: Count = 4
    """Frames looked at together."""
    gradient_accumulation: Count = 1
    """Batches whose gradients make one step: a larger batch where memory does not hold it."""

    optimizer: Literal["adamw", "adafactor"] = "adamw"
    """AdamW, or Adafactor at the given rate without scaling by parameter size: it needs less memory, which matters
    for a ControlNet and at high rank, hardly at a low one."""
    learning_rate: Rate = 1e-4
    """Learning rate after warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay, decoupled from the gradient."""
    schedule: Literal["cosine", "constant_with_warmup"] = "cosine"
    """How the learning rate goes on after warm-up. "cosine" falls to 0, so that the last steps average over the frames
    instead of following the last few."""
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    """Steps in which the learning rate rises from 0."""
    max_gradient_norm: Rate = 1.0
    """Gradients longer than this are shortened to it."""

    min_snr_gamma: Annotated[float, Field(gt=0)] | None = 5.0
    """Limit of the signal-to-noise ratio in the weight of a noise level (Hang et al., ICCV 2023); null: all noise
    levels weigh the same."""
    noise_offset: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of one more noise value for a whole channel of a frame, which lets a model learn very dark
    pictures. 0: off, because image-to-image starts from the rendered frame's brightness anyway."""
    caption_dropout: Share = 0.1
    """Share of frames shown without caption. Classifier-free guidance needs it."""
    ema_decay: Share = 0.999
    """Decay of the exponential moving average of the trained weights, which is what is written; 0: the last weights
    are. The average is less noisy than the last step of so few frames."""

    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Arithmetic on CUDA; trained weights are always float32. "auto": bfloat16 where the device has it, else float16,
    which needs its loss scaled. On the CPU everything is float32."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: about a quarter slower, and a third of the memory."""

    resolution: Annotated[int, Field(ge=32)] = 512
    """Side in pixels of a square picture with as many pixels as training pictures have; the base model's own size
    (1024 for SDXL)."""
    bucket_min: Annotated[int, Field(ge=16)] = 256
    """Least side of a training picture in pixels. Pictures of like aspect ratio form a bucket and are cropped to it."""
    bucket_max: Annotated[int, Field(ge=32)] = 1024
    """Greatest side of a training picture in pixels."""
    bucket_step: Annotated[int, Field(ge=8)] = 64
    """Sides of training pictures are multiples of this, in pixels."""
    heldout_every: Annotated[int, Field(ge=0)] = 10
    """Every so many frames one is not trained on, only measured: where its loss rises while that of the others falls,
    training learns the frames by heart. 0: none."""

    measure_every: Count = 250
    """Steps between rows of the training curve, each with pictures from fixed noise."""
    samples: Annotated[int, Field(ge=0)] = 4
    """Pictures drawn each time; 0: none."""
    sample_steps: Count = 20
    """Denoising steps of these pictures."""
    sample_guidance_scale: Annotated[float, Field(ge=1)] = 5.0
    """Classifier-free guidance of these pictures; 1: off."""
    checkpoint_every: Count = 250
    """Steps after which the state is written; an interrupted training goes on from there, to the same bytes."""

    @model_validator(mode="after")
    def _buckets_exist(self):
        if not self.bucket_min <= self.resolution <= self.bucket_max:
            raise ValueError(
                f"expected bucket_min <= resolution <= bucket_max, got {self.bucket_min}, {self.resolution}, "
                f"{self.bucket_max}"
            )
        if self.resolution < self.bucket_step:
            raise ValueError(f"bucket_step {self.bucket_step} is greater than resolution {self.resolution}")
        if self.heldout_every == 1:
            raise ValueError("heldout_every 1 leaves nothing to train on; 0 holds nothing out")
        return self


class StyleTrainingConfig(TrainingConfig):
    """LoRA of a diffusion model on a folder of real frames. The defaults suit about 100 frames; the recipe published
    with SimuScope is in config/paper/simuscope.yaml."""

    frames: str = ""
    """Folder of real frames, with their captions in .txt files of the same names if there are any; about 100 frames.
    Empty: no style is trained."""
    trigger_words: str = "laparoscopic surgery style"
    """Start of every caption; prompts that hold these words call up the style."""
    min_frames: Count = 8
    """Fewer frames than this are refused: a LoRA would learn them by heart."""
    flip: bool = False
    """Show each frame mirrored as well. Off, because anatomy is not symmetric: the liver would change sides."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 32
    """Rank of the LoRA. A style is a small change: 16 to 32 hold it, more holds single frames."""
    alpha: Annotated[float, Field(gt=0)] = 32.0
    """The LoRA is scaled by alpha / rank. Equal to rank, one learning rate serves every rank."""
    layers: Literal["attention", "transformer"] = "transformer"
    """Layers of the U-Net that get a LoRA: the attention's projections, or all linear layers of the transformer blocks,
    where texture is learnt in fewer steps."""
    text_encoder: bool = False
    """Train a LoRA of the text encoder (of SDXL: of both) too. Off: trigger words of plain English need none, and
    prompts for classes keep their meaning."""
    text_encoder_learning_rate: Rate = 1e-5
    """Learning rate of the text encoder's LoRA; it unlearns words at the U-Net's rate."""


class ControlNetTrainingConfig(TrainingConfig):
    """ControlNet (Zhang et al., ICCV 2023) on frames of our own shards and their exact maps."""

    steps: Count = 10000
    """Optimisation steps. The control sets in suddenly, after some thousand steps."""
    learning_rate: Rate = 1e-5
    """Learning rate after warm-up; as in the paper, because the trained copy starts from the base model's weights."""
    schedule: Literal["cosine", "constant_with_warmup"] = "constant_with_warmup"
    """How the learning rate goes on after warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)] = 500
    """Steps in which the learning rate rises from 0."""
    caption_dropout: Share = 0.5
    """Share of frames shown without caption; as in the paper, so that the model reads the condition instead."""
    ema_decay: Share = 0.0
    """Decay of the exponential moving average of the trained weights; 0: off, because it doubles the memory of a model
    half as large as the U-Net, and many frames at a low rate average by themselves."""
    heldout_every: Annotated[int, Field(ge=0)] = 8
    """Every so many shards one is not trained on, only measured: its frames are of another operation, while those
    beside a frame look like it. 0: none."""
    caption: str = "laparoscopic surgery"
    """Caption of frames for which the caller gives none."""
