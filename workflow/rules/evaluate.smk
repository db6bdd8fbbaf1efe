# evaluate: replayed frames against the real ones (the paper's Table 1); on the phantom, results against the truth.


rule evaluate_replay:
    input:
        frames=lambda wildcards: shard_files(wildcards.dataset, "tar"),
        manifests=lambda wildcards: shard_files(wildcards.dataset, "json"),
        real=expand("results/ingest/{name}/frames.tar", name=SCENES),
        valid=expand("results/ingest/{name}/valid.png", name=SCENES),
        cameras=expand("results/poses/{name}.camera.json", name=SCENES),
        truth=expand(
            "results/phantom/truth/{name}.tar",
            name=[name for name in SCENES if name in PHANTOM_NAMES],
        ),
    output:
        rows="results/evaluate/{dataset}.parquet",
        table="results/evaluate/{dataset}.csv",
        summary="results/evaluate/{dataset}.json",
        best=report("results/evaluate/{dataset}_best.png", category="replay"),
        worst=report("results/evaluate/{dataset}_worst.png", category="replay"),
    log:
        "results/logs/evaluate_replay/{dataset}.log",
    benchmark:
        "results/benchmarks/evaluate_replay/{dataset}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        recordings=SCENES,
        config=settings("evaluate"),
        code=script_digest("evaluate_replay"),
    message:
        "Comparing {wildcards.dataset} with the real frames"
    script:
        "../scripts/evaluate_replay.py"


rule evaluate_truth:
    input:
        truth="results/phantom/truth/truth.json",
        meshes=expand("results/phantom/truth/{tool}.ply", tool=PHANTOM_TOOLS),
        truth_poses=expand("results/phantom/truth/{name}.parquet", name=PHANTOM_NAMES),
        poses=expand("results/poses/{name}.parquet", name=PHANTOM_NAMES),
        alignment="results/poses/poses.json",
        ingest=expand("results/ingest/{name}/ingest.json", name=PHANTOM_NAMES),
        splats=expand("results/extract/{tool}/tool.ply", tool=PHANTOM_TOOLS),
        extracted=expand("results/extract/{tool}/extract.json", tool=PHANTOM_TOOLS),
    output:
        summary="results/evaluate/truth.json",
    log:
        "results/logs/evaluate_truth.log",
    benchmark:
        "results/benchmarks/evaluate_truth.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        recordings=PHANTOM_NAMES,
        tools=PHANTOM_TOOLS,
        config=settings("evaluate"),
        seed=CONFIG.seed,
        code=script_digest("evaluate_truth"),
    message:
        "Comparing poses and tool with the phantom's truth"
    script:
        "../scripts/evaluate_truth.py"
