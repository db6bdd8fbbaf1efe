# annotate: frame shards -> the dataset: images, COCO, YOLO, PNG masks, poses, a dataset card.
# The declared outputs are the files that name all others; manifest.json holds the SHA-256 of every one.


REMOTE = workflow.storage_settings.default_storage_provider is not None
DATASET_FOLDERS = ["images", "masks", "labels", "labels_segment"] if REMOTE else []


rule annotate_dataset:
    input:
        frames=lambda wildcards: shard_files(wildcards.dataset, "tar"),
        manifests=lambda wildcards: shard_files(wildcards.dataset, "json"),
        scenes=lambda wildcards: (
            [f"results/compose/{wildcards.dataset}.json"] if wildcards.dataset in ["sampled", *REPLAYS] else []
        ),
        classes=CLASSES,
    output:
        coco="results/dataset/{dataset}/annotations.json",
        yolo="results/dataset/{dataset}/data.yaml",
        poses="results/dataset/{dataset}/poses.json",
        card="results/dataset/{dataset}/README.md",
        picture="results/dataset/{dataset}/contact.jpg",
        manifest="results/dataset/{dataset}/manifest.json",
        splits=[
            f"results/dataset/{{dataset}}/{name}"
            for name in ["annotations_train.json", "annotations_val.json", "train.txt", "val.txt"]
        ],
        # to an object store goes only what is declared; on a disk a folder would be one more thing to compare
        folders=[directory(f"results/dataset/{{dataset}}/{name}") for name in DATASET_FOLDERS],
    log:
        "results/logs/annotate_dataset/{dataset}.log",
    benchmark:
        "results/benchmarks/annotate_dataset/{dataset}.tsv"
    threads: 4
    resources:
        mem_mb=growing(1000),
        runtime=growing(20),
    params:
        config=settings("annotate"),
        seed=CONFIG.seed,
        code=script_digest("annotate_dataset"),
    message:
        "Annotating {wildcards.dataset}"
    script:
        "../scripts/annotate_dataset.py"
