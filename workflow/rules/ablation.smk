# ablation: the replay with one thing changed at a time: tracker errors, parts of the method, fewer views to learn from.
# One job per case, so that a longer list in the settings adds jobs and repeats none.


rule train_fewer_views:
    input:
        frames=lambda wildcards: expand("results/ingest/{name}/frames.tar", name=MODELS[wildcards.model]),
        tables=lambda wildcards: expand("results/poses/{name}.parquet", name=MODELS[wildcards.model]),
        cameras=lambda wildcards: expand("results/poses/{name}.camera.json", name=MODELS[wildcards.model]),
        valid=lambda wildcards: expand("results/ingest/{name}/valid.png", name=MODELS[wildcards.model]),
        points="results/poses/{model}.points.ply",
    output:
        splat="results/ablation/views_{percent}/{model}/model.ply",
        summary="results/ablation/views_{percent}/{model}/splat.json",
    log:
        "results/logs/train_fewer_views/{percent}_{model}.log",
    benchmark:
        "results/benchmarks/train_fewer_views/{percent}_{model}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
        gpu=GPUS,
    params:
        config=settings("splat"),
        seed=CONFIG.seed,
        device=CONFIG.device,
        code=script_digest("train_fewer_views"),
    message:
        "Training the splat of {wildcards.model} on {wildcards.percent} % of its views"
    script:
        "../scripts/train_fewer_views.py"


rule extract_from_fewer_views:
    input:
        splat="results/ablation/views_{percent}/{tool}/model.ply",
        table="results/poses/{tool}.parquet",
        camera="results/poses/{tool}.camera.json",
        frames="results/ingest/{tool}/frames.tar",
    output:
        tool="results/ablation/views_{percent}/{tool}/tool.ply",
        paper="results/ablation/views_{percent}/{tool}/tool_paper.ply",
        summary="results/ablation/views_{percent}/{tool}/extract.json",
        picture="results/ablation/views_{percent}/{tool}/extract.png",
    log:
        "results/logs/extract_from_fewer_views/{percent}_{tool}.log",
    benchmark:
        "results/benchmarks/extract_from_fewer_views/{percent}_{tool}.tsv"
    resources:
        mem_mb=growing(1500),
        runtime=growing(10),
        gpu=GPUS,
    params:
        config=settings("extract"),
        seed=CONFIG.seed,
        device=CONFIG.device,
        code=script_digest("extract_tool"),
    message:
        "Extracting {wildcards.tool} from the splat of {wildcards.percent} % of its views"
    script:
        "../scripts/extract_tool.py"


rule ablate_case:
    input:
        tables=expand("results/poses/{name}.parquet", name=SCENES),
        cameras=expand("results/poses/{name}.camera.json", name=SCENES),
        poses="results/poses/poses.json",
        real=expand("results/ingest/{name}/frames.tar", name=SCENES),
        valid=expand("results/ingest/{name}/valid.png", name=SCENES),
        truth=expand("results/phantom/truth/{name}.tar", name=[name for name in SCENES if name in PHANTOM_NAMES]),
        site=lambda wildcards: ablated_splats(wildcards.case)["site"],
        tools=lambda wildcards: ablated_splats(wildcards.case)["tools"],
        extracted=lambda wildcards: ablated_splats(wildcards.case)["extracted"],
        classes=CLASSES,
    output:
        rows="results/ablation/cases/{case}.parquet",
        picture="results/ablation/cases/{case}.png",
    log:
        "results/logs/ablate_case/{case}.log",
    benchmark:
        "results/benchmarks/ablate_case/{case}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
        gpu=GPUS,
    params:
        setup=lambda wildcards: CASES[wildcards.case].setup,
        frames=CONFIG.ablation.frames,
        recordings=SCENES,
        tools=TOOLS,
        compose=settings("compose", "recipe", "replay_frames"),
        render=settings("render"),
        evaluate=settings("evaluate"),
        seed=CONFIG.seed,
        device=CONFIG.device,
        code=script_digest("ablate_case"),
    message:
        "Replaying the scene recordings: {wildcards.case}"
    script:
        "../scripts/ablate_case.py"


rule gather_ablation:
    input:
        expand("results/ablation/cases/{case}.parquet", case=CASES),
    output:
        table="results/ablation/ablation.csv",
        cells="results/ablation/ablation.parquet",
        summary="results/ablation/ablation.json",
        plot=report("results/ablation/tracker_error.png", category="ablation"),
    log:
        "results/logs/gather_ablation.log",
    benchmark:
        "results/benchmarks/gather_ablation.tsv"
    params:
        cases=list(CASES.values()),
        config=settings("ablation"),
        code=script_digest("gather_ablation"),
    message:
        "Gathering the ablations"
    script:
        "../scripts/gather_ablation.py"


# What tracker errors cost and what each part of the method is worth; needs a scene recording.
rule ablation:
    input:
        if_replayed(
            "results/ablation/ablation.json",
            *(f"results/ablation/cases/{case}.png" for case in CASES),
        ),
