# style: a folder of real frames + a base model -> a LoRA of their look, for restyle.loras.

from splatscope.restyle.style_training.frames import frame_files

try:
    STYLE_FRAMES = list(map(brought, frame_files(CONFIG.style_training.frames))) if CONFIG.style_training.frames else []
except InputError as error:
    raise WorkflowError(str(error)) from None


rule train_style:
    input:
        frames=STYLE_FRAMES,
        model=weight_files(shipped(CONFIG.restyle.model)),
    output:
        lora="results/style/pytorch_lora_weights.safetensors",
        curve="results/style/curve.csv",
    log:
        "results/logs/train_style.log",
    benchmark:
        "results/benchmarks/train_style.tsv"
    resources:
        mem_mb=growing(16000),
        runtime=growing(120),
        gpu=GPUS,
    params:
        config=settings("style_training"),
        model=lambda wildcards: shipped(CONFIG.restyle.model),
        allow_pickles=CONFIG.restyle.allow_pickles,
        seed=CONFIG.seed,
        device=CONFIG.device,
        code=script_digest("train_style"),
    message:
        "Training the style of the frames in {params.config[frames]}"
    script:
        "../scripts/train_style.py"
