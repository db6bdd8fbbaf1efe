# check: a dataset's frame shards -> what was declared about it and does not hold, with pictures; a run that fails then.
# Two rules, because Snakemake deletes what a failed job wrote: the first writes what it found and never fails for that.


rule check_dataset:
    input:
        frames=lambda wildcards: shard_files(wildcards.dataset, "tar"),
        manifests=lambda wildcards: shard_files(wildcards.dataset, "json"),
        real=lambda wildcards: real_frames(wildcards.dataset),
        classes=CLASSES,
    output:
        results="results/check/{dataset}.json",
        picture=report("results/check/{dataset}.jpg", category="check"),
        frames="results/check/{dataset}.parquet",
    log:
        "results/logs/check_dataset/{dataset}.log",
    benchmark:
        "results/benchmarks/check_dataset/{dataset}.tsv"
    threads: 4
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        limits=lambda wildcards: check_limits(wildcards.dataset).model_dump(mode="json"),
        annotate=settings("annotate"),
        code=script_digest("check_dataset"),
    message:
        "Checking {wildcards.dataset}"
    script:
        "../scripts/check_dataset.py"


rule require_checks:
    input:
        results="results/check/{dataset}.json",
        picture="results/check/{dataset}.jpg",
    output:
        "results/check/{dataset}.passed",
    log:
        "results/logs/require_checks/{dataset}.log",
    params:
        code=script_digest("require_checks"),
    message:
        "Requiring that {wildcards.dataset} passed its checks"
    script:
        "../scripts/require_checks.py"
