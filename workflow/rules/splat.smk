# splat: frames + poses -> a Gaussian model (standard 3DGS .ply) of the site and of each tool recording.


rule train_splat:
    input:
        frames=lambda wildcards: expand("results/ingest/{name}/frames.tar", name=MODELS[wildcards.model]),
        tables=lambda wildcards: expand("results/poses/{name}.parquet", name=MODELS[wildcards.model]),
        cameras=lambda wildcards: expand("results/poses/{name}.camera.json", name=MODELS[wildcards.model]),
        valid=lambda wildcards: expand("results/ingest/{name}/valid.png", name=MODELS[wildcards.model]),
        points="results/poses/{model}.points.ply",
    output:
        splat="results/splat/{model}/model.ply",
        curve="results/splat/{model}/curve.csv",
        summary="results/splat/{model}/splat.json",
        heldout="results/splat/{model}/heldout.png",
        turntable="results/splat/{model}/turntable.mp4",
    log:
        "results/logs/train_splat/{model}.log",
    benchmark:
        "results/benchmarks/train_splat/{model}.tsv"
    cache: workflow.enable_cache
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
        gpu=GPUS,
    params:
        model="{model}",
        config=settings("splat"),
        seed=CONFIG.seed,
        device=CONFIG.device,
        code=script_digest("train_splat"),
    message:
        "Training the splat of {wildcards.model}"
    script:
        "../scripts/train_splat.py"
