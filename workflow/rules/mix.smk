# mix: finished frames + an instrument of the other world -> frame shards: a simulated instrument in captured frames,
# a captured one in simulated frames.


rule mix_captured:
    input:
        frames="results/render/sampled/shard_{shard}.tar",
        manifest="results/render/sampled/shard_{shard}.json",
        classes=CLASSES,
    output:
        frames="results/mix/mixed_captured/shard_{shard}.tar",
        manifest="results/mix/mixed_captured/shard_{shard}.json",
    log:
        "results/logs/mix_captured/{shard}.log",
    benchmark:
        "results/benchmarks/mix_captured/{shard}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        config=settings("mix"),
        seed=CONFIG.seed,
        code=script_digest("mix_captured"),
    message:
        "Laying simulated instruments into captured frames, shard {wildcards.shard}"
    script:
        "../scripts/mix_captured.py"


rule mix_simulated:
    input:
        frames="results/simulate/episode_{shard}.tar",
        manifest="results/simulate/episode_{shard}.json",
        tools=expand("results/extract/{tool}/tool.ply", tool=TOOLS),
        extracted=expand("results/extract/{tool}/extract.json", tool=TOOLS),
        classes=CLASSES,
    output:
        frames="results/mix/mixed_simulated/shard_{shard}.tar",
        manifest="results/mix/mixed_simulated/shard_{shard}.json",
    log:
        "results/logs/mix_simulated/{shard}.log",
    benchmark:
        "results/benchmarks/mix_simulated/{shard}.tsv"
    resources:
        mem_mb=growing(1500),
        runtime=growing(30),
    params:
        tools=TOOLS,
        tool_classes=CONFIG.compose.tool_classes,
        config=settings("mix"),
        seed=CONFIG.seed,
        code=script_digest("mix_simulated"),
    message:
        "Laying captured instruments into simulated operation {wildcards.shard}"
    script:
        "../scripts/mix_simulated.py"


# Both mixed datasets, as far as there are recordings of tools and simulated operations for the second.
rule mix:
    input:
        expand("results/dataset/{dataset}/annotations.json", dataset=MIXED),
        checked(*MIXED),
