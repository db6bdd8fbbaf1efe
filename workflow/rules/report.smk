# report: everything above -> one self-contained HTML page and the headline figures as JSON.

EVALUATED = ["replay", "replay_paper"] if SCENES and TOOLS else []
TRUTH = ["results/evaluate/truth.json"] if "needle_driver" in PHANTOM_NAMES else []


rule write_summary:
    input:
        dataset="results/dataset/sampled/annotations.json",
        ingest=expand("results/ingest/{name}/ingest.json", name=RECORDINGS),
        sfm=expand("results/sfm/{group}/sfm.json", group=GROUPS),
        poses="results/poses/poses.json",
        splats=expand("results/splat/{model}/splat.json", model=MODELS),
        evaluated=expand("results/evaluate/{dataset}.json", dataset=EVALUATED),
        truth=TRUTH,
    output:
        "results/summary.json",
    log:
        "results/logs/write_summary.log",
    params:
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
        splats=expand("results/splat/{model}/{file}", model=MODELS, file=["curve.csv", "heldout.png"]),
        extracts=expand("results/extract/{tool}/{file}", tool=TOOLS, file=["extract.json", "extract.png"]),
        evaluated=expand(
            "results/evaluate/{dataset}{suffix}", dataset=EVALUATED, suffix=[".csv", "_best.png", "_worst.png"]
        ),
        dataset="results/dataset/sampled/manifest.json",
        frames=shard_files("sampled", "tar"),
    output:
        "results/report.html",
    log:
        "results/logs/write_report.log",
    params:
        recordings=list(RECORDINGS.values()),
        config=settings("report"),
        code=script_digest("write_report"),
    message:
        "Writing the report"
    script:
        "../scripts/write_report.py"
