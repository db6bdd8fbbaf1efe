# report: everything above -> one self-contained HTML page and the headline figures as JSON.


rule write_summary:
    input:
        dataset="results/dataset/sampled/manifest.json",
        tables=expand("results/ingest/{name}/frames.parquet", name=RECORDINGS),
        sfm=expand("results/sfm/{group}/sfm.json", group=GROUPS),
        splats=expand("results/splat/{model}/splat.json", model=MODELS),
        replay=if_replayed("results/evaluate/replay.json"),
        replay_paper=if_replayed("results/evaluate/replay_paper.json"),
        truth=["results/evaluate/truth.json"] if PHANTOM_NAMES else [],
        restyling=expand("results/evaluate/restyle_{dataset}_proof.json", dataset=RESTYLED[:1]),
        awaited=lambda wildcards: awaited(),
    output:
        "results/summary.json",
    log:
        "results/logs/write_summary.log",
    params:
        recordings=list(RECORDINGS),
        groups=list(GROUPS),
        models=list(MODELS),
        baselines=lambda wildcards: finished("baselines"),
        proof=lambda wildcards: finished("proof"),
        code=script_digest("write_summary"),
    message:
        "Collecting the headline figures"
    script:
        "../scripts/write_summary.py"


rule write_report:
    input:
        summary="results/summary.json",
        thumbnails=expand("results/ingest/{name}/thumbnails.jpg", name=RECORDINGS),
        residuals="results/poses/residuals.png",
        splats=expand(
            "results/splat/{model}/{file}",
            model=MODELS,
            file=["curve.csv", "heldout.png"],
        ),
        extracts=expand(
            "results/extract/{tool}/{file}",
            tool=TOOLS,
            file=["extract.json", "extract.png"],
        ),
        scenes=expand("results/compose/{dataset}.json", dataset=["sampled", *REPLAYS]),
        overlays=expand(
            "results/evaluate/{dataset}_{pair}.png",
            dataset=REPLAYS,
            pair=["best", "worst"],
        ),
        rows=expand("results/evaluate/{dataset}.parquet", dataset=REPLAYS),
        datasets=expand(
            "results/dataset/{dataset}/{file}",
            dataset=BROWSED,
            file=["manifest.json", "annotations.json"],
        ),
        episodes=shard_files("simulated", "tar"),
        shards=[file for name in BROWSED for file in shard_files(name, "tar")],
        models=expand("results/splat/{model}/model.ply", model=MODELS),
        tools=expand("results/extract/{tool}/tool.ply", tool=TOOLS),
        simulated=rules.simulate.input.made if CONFIG.simulate.episodes else [],
        restyled=rules.restyle.input.made,
        checks=[f"results/check/{name}.json" for name in BROWSED if check_limits(name).any_on],
    output:
        "results/report.html",
    log:
        "results/logs/write_report.log",
    resources:
        mem_mb=growing(1500),
        runtime=growing(20),
    params:
        recordings=list(RECORDINGS.values()),
        groups=list(GROUPS),
        models=list(MODELS),
        tools=TOOLS,
        datasets=["sampled", *REPLAYS],
        shown=BROWSED,
        shards={name: shard_files(name, "tar") for name in BROWSED},
        restyled=RESTYLED,
        config=settings("report"),
        seed=CONFIG.seed,
        config_digest=settings_digest(CONFIG.model_dump(mode="json")),
        code=script_digest("write_report"),
    message:
        "Writing the report"
    script:
        "../scripts/write_report.py"
