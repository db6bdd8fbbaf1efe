# baselines: the radiance fields of the paper's Table 1, trained on the frames that our splats are trained on, and
# compared with the same real frames.


rule train_baseline:
    input:
        frames=lambda wildcards: expand("results/ingest/{name}/frames.tar", name=MODELS[wildcards.model]),
        tables=lambda wildcards: expand("results/poses/{name}.parquet", name=MODELS[wildcards.model]),
        cameras=lambda wildcards: expand("results/poses/{name}.camera.json", name=MODELS[wildcards.model]),
        valid=lambda wildcards: expand("results/ingest/{name}/valid.png", name=MODELS[wildcards.model]),
        points="results/poses/{model}.points.ply",
    output:
        model="results/baselines/{kind}/{model}/field.safetensors",
        curve="results/baselines/{kind}/{model}/curve.csv",
        summary="results/baselines/{kind}/{model}/training.json",
    log:
        "results/logs/train_baseline/{kind}_{model}.log",
    benchmark:
        "results/benchmarks/train_baseline/{kind}_{model}.tsv"
    resources:
        mem_mb=growing(3000),
        runtime=growing(60),
        gpu=GPUS,
    params:
        config=settings("baselines"),
        max_width=CONFIG.splat.max_width,
        heldout_every=CONFIG.splat.heldout_every,
        seed=CONFIG.seed,
        device=CONFIG.device,
        code=script_digest("train_baseline"),
    message:
        "Training the {wildcards.kind} field of {wildcards.model}"
    script:
        "../scripts/train_baseline.py"


rule render_baseline:
    input:
        scenes="results/compose/replay.parquet",
        summary="results/compose/replay.json",
        site="results/baselines/{kind}/site/field.safetensors",
        tools=expand("results/baselines/{{kind}}/{tool}/field.safetensors", tool=TOOLS),
        splats=expand("results/extract/{tool}/tool.ply", tool=TOOLS),
        extracted=expand("results/extract/{tool}/extract.json", tool=TOOLS),
    output:
        frames="results/baselines/{kind}/replay/shard_{shard}.tar",
        manifest="results/baselines/{kind}/replay/shard_{shard}.json",
    log:
        "results/logs/render_baseline/{kind}_{shard}.log",
    benchmark:
        "results/benchmarks/render_baseline/{kind}_{shard}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
        gpu=GPUS,
    params:
        tools=TOOLS,
        plane_tolerance_mm=CONFIG.extract.plane_tolerance_mm,
        config=settings("render"),
        seed=CONFIG.seed,
        device=CONFIG.device,
        code=script_digest("render_baseline"),
    message:
        "Rendering shard {wildcards.shard} of the replay from {wildcards.kind} fields"
    script:
        "../scripts/render_baseline.py"


rule compare_baselines:
    input:
        ours_replay="results/evaluate/replay.json",
        ours_frames=shard_files("replay", "tar"),
        ours_training=expand("results/splat/{model}/splat.json", model=MODELS),
        ngp_replay="results/evaluate/replay_ngp.json",
        ngp_frames=shard_files("replay_ngp", "tar"),
        ngp_training=expand("results/baselines/ngp/{model}/training.json", model=MODELS),
        nerfacto_replay="results/evaluate/replay_nerfacto.json",
        nerfacto_frames=shard_files("replay_nerfacto", "tar"),
        nerfacto_training=expand("results/baselines/nerfacto/{model}/training.json", model=MODELS),
        real=expand("results/ingest/{name}/frames.tar", name=SCENES),
        cameras=expand("results/poses/{name}.camera.json", name=SCENES),
    output:
        summary="results/baselines/baselines.json",
        table="results/baselines/baselines.csv",
        picture=report("results/baselines/baselines.png", category="baselines"),
    log:
        "results/logs/compare_baselines.log",
    benchmark:
        "results/benchmarks/compare_baselines.tsv"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        models=list(MODELS),
        recordings=SCENES,
        sh_degree=CONFIG.splat.sh_degree,
        code=script_digest("compare_baselines"),
    message:
        "Comparing the replays of splats and radiance fields"
    script:
        "../scripts/compare_baselines.py"


rule baselines:
    input:
        if_replayed(
            "results/baselines/baselines.json",
            "results/baselines/baselines.csv",
            "results/baselines/baselines.png",
        ),
