# compose: splats + poses (or a recipe) -> scene lists: what is where in each frame to be made.


rule compose_replay:
    input:
        tables=expand("results/poses/{name}.parquet", name=SCENES),
        cameras=expand("results/poses/{name}.camera.json", name=SCENES),
        extracted=expand("results/extract/{tool}/extract.json", tool=TOOLS),
        classes=CLASSES,
    output:
        scenes="results/compose/{dataset}.parquet",
        summary="results/compose/{dataset}.json",
    log:
        "results/logs/compose_replay/{dataset}.log",
    benchmark:
        "results/benchmarks/compose_replay/{dataset}.tsv"
    wildcard_constraints:
        dataset="replay|replay_paper",
    resources:
        mem_mb=growing(1500),
        runtime=growing(10),
    params:
        recordings=SCENES,
        tools=TOOLS,
        config=settings("compose", "recipe"),
        seed=CONFIG.seed,
        code=script_digest("compose_replay"),
    message:
        "Composing {wildcards.dataset} from the scene recordings' poses"
    script:
        "../scripts/compose_replay.py"


rule sample_scenes:
    input:
        site="results/splat/site/model.ply",
        tools=expand("results/extract/{tool}/tool.ply", tool=TOOLS),
        extracted=expand("results/extract/{tool}/extract.json", tool=TOOLS),
        tables=expand("results/poses/{name}.parquet", name=BACKGROUNDS),
        scene_tables=expand("results/poses/{name}.parquet", name=POSED_ABOUT),
        cameras=expand("results/poses/{name}.camera.json", name=BACKGROUNDS + POSED_ABOUT),
        classes=CLASSES,
    output:
        scenes="results/compose/sampled.parquet",
        summary="results/compose/sampled.json",
    log:
        "results/logs/sample_scenes.log",
    benchmark:
        "results/benchmarks/sample_scenes.tsv"
    resources:
        mem_mb=growing(1500),
        runtime=growing(10),
        gpu=GPUS,
    params:
        recordings=BACKGROUNDS,
        scenes=POSED_ABOUT,
        tools=TOOLS,
        config=settings("compose", "replay_frames"),
        seed=CONFIG.seed,
        device=CONFIG.device,
        code=script_digest("sample_scenes"),
    message:
        "Sampling scenes from the recipe"
    script:
        "../scripts/sample_scenes.py"
