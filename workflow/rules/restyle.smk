# restyle: frame shards + a latent diffusion model -> frame shards of the same keys and labels that look real; and the
# proof of what that kept. A dataset's shards fall in three parts: the gate's segmenter learns from the first, the
# evaluation's from the second, and the third is what the evaluation looks at.


rule train_segmenter:
    input:
        frames=lambda wildcards: judged_shards(wildcards.dataset, wildcards.judge, "tar"),
        manifests=lambda wildcards: judged_shards(wildcards.dataset, wildcards.judge, "json"),
        classes=CLASSES,
    output:
        "results/restyle/{dataset}/segmenter_{judge}.safetensors",
    log:
        "results/logs/train_segmenter/{dataset}_{judge}.log",
    benchmark:
        "results/benchmarks/train_segmenter/{dataset}_{judge}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
        gpu=GPUS,
    params:
        config=proof_settings(),
        seed=CONFIG.seed,
        device=CONFIG.device,
        code=script_digest("train_segmenter"),
    message:
        "Training the segmenter of the {wildcards.judge} on {wildcards.dataset}"
    script:
        "../scripts/train_segmenter.py"


rule restyle_shard:
    input:
        frames=lambda wildcards: raw_shard(wildcards.dataset, wildcards.shard_name, "tar"),
        manifest=lambda wildcards: raw_shard(wildcards.dataset, wildcards.shard_name, "json"),
        segmenter=lambda wildcards: (
            ["results/restyle/{dataset}/segmenter_gate.safetensors"]
            if restyle_variant(wildcards.variant).gate.limit > 0
            else []
        ),
        model=lambda wildcards: style_files(wildcards.variant),
        classes=CLASSES,
    output:
        frames="results/restyle/{dataset}/{variant}/{shard_name}.tar",
        manifest="results/restyle/{dataset}/{variant}/{shard_name}.json",
        scores="results/restyle/{dataset}/{variant}/{shard_name}.fidelity.parquet",
    log:
        "results/logs/restyle_shard/{dataset}_{variant}_{shard_name}.log",
    benchmark:
        "results/benchmarks/restyle_shard/{dataset}_{variant}_{shard_name}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
        gpu=GPUS,
    params:
        config=lambda wildcards: restyle_settings(wildcards.variant),
        seed=CONFIG.seed,
        device=CONFIG.device,
        code=script_digest("restyle_shard"),
    message:
        "Restyling {wildcards.dataset}, {wildcards.shard_name}, {wildcards.variant}"
    script:
        "../scripts/restyle_shard.py"


rule evaluate_restyling:
    input:
        raw=lambda wildcards: judged_shards(wildcards.dataset, "proof", "tar"),
        restyled=lambda wildcards: proof_files(wildcards.dataset, STUDIES[wildcards.study], "tar"),
        manifests=lambda wildcards: proof_files(wildcards.dataset, STUDIES[wildcards.study], "json"),
        scores=lambda wildcards: shard_files(f"{wildcards.dataset}_restyled", "fidelity.parquet"),
        segmenter="results/restyle/{dataset}/segmenter_evaluation.safetensors",
        style=style_set_files(),
        classes=CLASSES,
    output:
        summary="results/evaluate/restyle_{dataset}_{study}.json",
        table="results/evaluate/restyle_{dataset}_{study}.csv",
    log:
        "results/logs/evaluate_restyling/{dataset}_{study}.log",
    benchmark:
        "results/benchmarks/evaluate_restyling/{dataset}_{study}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
        gpu=GPUS,
    params:
        variants=lambda wildcards: STUDIES[wildcards.study],
        config=proof_settings(),
        lpips_weights=CONFIG.evaluate.lpips_backbone_weights,
        seed=CONFIG.seed,
        device=CONFIG.device,
        code=script_digest("evaluate_restyling"),
    message:
        "Measuring what restyling kept of {wildcards.dataset}"
    script:
        "../scripts/evaluate_restyling.py"


rule draw_restyling:
    input:
        raw=lambda wildcards: judged_shards(wildcards.dataset, "proof", "tar"),
        restyled=lambda wildcards: proof_files(wildcards.dataset, ["default"], "tar"),
    output:
        strip="results/restyle/{dataset}/before_after.jpg",
        video="results/restyle/{dataset}/before_after.mp4",
    log:
        "results/logs/draw_restyling/{dataset}.log",
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        code=script_digest("draw_restyling"),
    message:
        "Drawing frames of {wildcards.dataset} before and after restyling"
    script:
        "../scripts/draw_restyling.py"


# The restyled datasets, and how much of labels and realism they keep.
rule restyle:
    input:
        checked(*[f"{dataset}_restyled" for dataset in RESTYLED]),
        made=[
            *expand("results/dataset/{dataset}_restyled/annotations.json", dataset=RESTYLED),
            *expand("results/evaluate/restyle_{dataset}_proof.json", dataset=RESTYLED),
            *expand("results/restyle/{dataset}/before_after.{suffix}", dataset=RESTYLED, suffix=["jpg", "mp4"]),
        ],


# Every variant of the settings beside the default: what each part of restyling is worth.
rule restyle_ablation:
    input:
        expand("results/evaluate/restyle_{dataset}_ablation.csv", dataset=RESTYLED),
