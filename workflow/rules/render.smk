# render: scene list + splats -> frame shards: colour, class, instance, visible and amodal masks, depth, alpha.


rule render_shard:
    input:
        scenes="results/compose/{dataset}.parquet",
        summary="results/compose/{dataset}.json",
        site="results/splat/site/model.ply",
        tools=lambda wildcards: expand(
            "results/extract/{tool}/{kind}.ply",
            tool=TOOLS,
            kind="tool_paper" if wildcards.dataset == "replay_paper" else "tool",
        ),
    output:
        frames="results/render/{dataset}/shard_{shard}.tar",
        manifest="results/render/{dataset}/shard_{shard}.json",
    log:
        "results/logs/render_shard/{dataset}_{shard}.log",
    benchmark:
        "results/benchmarks/render_shard/{dataset}_{shard}.tsv"
    resources:
        mem_mb=growing(1500),
        runtime=growing(10),
        gpu=GPUS,
    params:
        tools=TOOLS,
        config=settings("render"),
        seed=CONFIG.seed,
        device=CONFIG.device,
        code=script_digest("render_shard"),
    message:
        "Rendering shard {wildcards.shard} of {wildcards.dataset}"
    script:
        "../scripts/render_shard.py"
