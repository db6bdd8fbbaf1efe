# extract: tool splat -> the tool's Gaussians alone, in the tool sensor's frame.


rule extract_tool:
    input:
        splat="results/splat/{tool}/model.ply",
        table="results/poses/{tool}.parquet",
        camera="results/poses/{tool}.camera.json",
        frames="results/ingest/{tool}/frames.tar",
    output:
        tool="results/extract/{tool}/tool.ply",
        paper="results/extract/{tool}/tool_paper.ply",
        summary="results/extract/{tool}/extract.json",
        picture="results/extract/{tool}/extract.png",
    log:
        "results/logs/extract_tool/{tool}.log",
    benchmark:
        "results/benchmarks/extract_tool/{tool}.tsv"
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
        "Extracting {wildcards.tool} from its splat"
    script:
        "../scripts/extract_tool.py"
