# simulate: a scenario and a seed -> an operation on simulated tissue: frames with every label, tables, a video.


rule simulate_episode:
    input:
        scenario=SCENARIO,
        classes=CLASSES,
    output:
        frames="results/simulate/episode_{episode}.tar",
        manifest="results/simulate/episode_{episode}.json",
        triplets="results/simulate/episode_{episode}.triplets.parquet",
        events="results/simulate/episode_{episode}.events.parquet",
        steps="results/simulate/episode_{episode}.log.parquet",
        video="results/simulate/episode_{episode}.mp4",
    log:
        "results/logs/simulate_episode/{episode}.log",
    benchmark:
        "results/benchmarks/simulate_episode/{episode}.tsv"
    cache: workflow.enable_cache
    resources:
        mem_mb=growing(1500),
        runtime=growing(30),
    params:
        episode="{episode}",
        config=settings("simulate"),
        seed=CONFIG.seed,
        code=script_digest("simulate_episode"),
    message:
        "Simulating operation {wildcards.episode}"
    script:
        "../scripts/simulate_episode.py"


rule draw_contact_sheet:
    input:
        frames=shard_files("simulated", "tar"),
        manifests=shard_files("simulated", "json"),
    output:
        "results/simulate/contact.jpg",
    log:
        "results/logs/draw_contact_sheet.log",
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        pictures=24,
        columns=6,
        seed=CONFIG.seed,
        code=script_digest("draw_contact_sheet"),
    message:
        "Drawing a contact sheet of the simulated operations"
    script:
        "../scripts/draw_contact_sheet.py"


# All simulated operations and the dataset made of them, without any recording.
rule simulate:
    input:
        checked("simulated"),
        made=[
            "results/simulate/contact.jpg",
            "results/dataset/simulated/annotations.json",
            *shard_files("simulated", "triplets.parquet"),
            *shard_files("simulated", "events.parquet"),
            *shard_files("simulated", "log.parquet"),
            *shard_files("simulated", "mp4"),
        ],
