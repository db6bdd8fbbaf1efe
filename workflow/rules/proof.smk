# proof: real frames, a synthetic dataset -> detectors and segmenters trained on each and on both, tested on an unseen
# real recording; what synthetic frames are worth in real ones. One job is one training: a longer list of folds or of
# shares of real frames runs only what is new.


wildcard_constraints:
    arm="real|synthetic|mixed|recorded_poses|free_poses|added",
    percent=r"\d+",
    fold=r"\d+",
    task="tool|classes",


# The real frames of the scene recordings or of the test recordings, with their boxes.
rule gather_real_images:
    input:
        frames=lambda wildcards: expand("results/ingest/{name}/frames.tar", name=PROOF_RECORDINGS[wildcards.pool]),
        valid=lambda wildcards: expand("results/ingest/{name}/valid.png", name=PROOF_RECORDINGS[wildcards.pool]),
        truth=lambda wildcards: expand(
            "results/phantom/truth/{name}.tar",
            name=[name for name in PROOF_RECORDINGS[wildcards.pool] if name in PHANTOM_NAMES],
        ),
        annotations=lambda wildcards: proof_annotation_files(wildcards.pool),
        classes=CLASSES,
    output:
        images="results/proof/images/{pool}.tar",
        manifest="results/proof/images/{pool}.json",
    log:
        "results/logs/gather_real_images/{pool}.log",
    wildcard_constraints:
        pool="real|test",
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        recordings=lambda wildcards: PROOF_RECORDINGS[wildcards.pool],
        annotations=CONFIG.proof.annotations,
        size=(CONFIG.proof.width, CONFIG.proof.height),
        config=settings("annotate"),
        code=script_digest("gather_real_images"),
    message:
        "Gathering the annotated frames: {wildcards.pool}"
    script:
        "../scripts/gather_real_images.py"


rule gather_synthetic_images:
    input:
        frames=shard_files(CONFIG.proof.synthetic, "tar"),
        manifests=shard_files(CONFIG.proof.synthetic, "json"),
        classes=CLASSES,
    output:
        images="results/proof/images/synthetic.tar",
        manifest="results/proof/images/synthetic.json",
    log:
        "results/logs/gather_synthetic_images.log",
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        size=(CONFIG.proof.width, CONFIG.proof.height),
        config=settings("annotate"),
        code=script_digest("gather_synthetic_images"),
    message:
        "Gathering the synthetic frames"
    script:
        "../scripts/gather_synthetic_images.py"


rule train_detector:
    input:
        real="results/proof/images/real.tar",
        synthetic="results/proof/images/synthetic.tar",
        test="results/proof/images/test.tar",
    output:
        detections="results/proof/detection/{arm}_{percent}_{fold}.parquet",
        weights="results/proof/detection/{arm}_{percent}_{fold}.safetensors",
        curve="results/proof/detection/{arm}_{percent}_{fold}.csv",
    log:
        "results/logs/train_detector/{arm}_{percent}_{fold}.log",
    benchmark:
        "results/benchmarks/train_detector/{arm}_{percent}_{fold}.tsv"
    resources:
        mem_mb=growing(3000),
        runtime=growing(60),
        gpu=GPUS,
    params:
        images=CONFIG.proof.images,
        mixed_real_percent=CONFIG.proof.mixed_real_percent,
        config=CONFIG.proof.detection.model_dump(mode="json"),
        seed=CONFIG.seed,
        device=CONFIG.device,
        code=script_digest("train_detector"),
    message:
        "Training a detector: {wildcards.arm}, {wildcards.percent} %, fold {wildcards.fold}"
    script:
        "../scripts/train_detector.py"


rule train_proof_segmenter:
    input:
        real="results/proof/images/real.tar",
        synthetic="results/proof/images/synthetic.tar",
        test="results/proof/images/test.tar",
        classes=CLASSES,
    output:
        "results/proof/segmentation/{task}_{arm}_{percent}_{fold}.parquet",
    log:
        "results/logs/train_proof_segmenter/{task}_{arm}_{percent}_{fold}.log",
    benchmark:
        "results/benchmarks/train_proof_segmenter/{task}_{arm}_{percent}_{fold}.tsv"
    resources:
        mem_mb=growing(3000),
        runtime=growing(60),
        gpu=GPUS,
    params:
        images=CONFIG.proof.images,
        mixed_real_percent=CONFIG.proof.mixed_real_percent,
        config=CONFIG.proof.segmentation.model_dump(mode="json"),
        seed=CONFIG.seed,
        device=CONFIG.device,
        code=script_digest("train_proof_segmenter"),
    message:
        "Training a segmenter ({wildcards.task}): {wildcards.arm}, fold {wildcards.fold}"
    script:
        "../scripts/train_proof_segmenter.py"


rule evaluate_proof:
    input:
        test="results/proof/images/test.tar",
        detections=[f"results/proof/detection/{run.name}.parquet" for run in DETECTOR_RUNS],
        confusions=[f"results/proof/segmentation/{task}_{run.name}.parquet" for task, run in SEGMENTER_RUNS],
    output:
        detection="results/proof/detection.parquet",
        segmentation="results/proof/segmentation.parquet",
        summary="results/proof/proof.json",
        curves=report("results/proof/precision_recall.png", category="proof"),
        examples=report("results/proof/examples.png", category="proof"),
        efficiency=report("results/proof/efficiency.png", category="proof"),
    log:
        "results/logs/evaluate_proof.log",
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        detector_runs=[(run.arm, run.percent, run.fold) for run in DETECTOR_RUNS],
        segmenter_runs=[(task, run.arm, run.percent, run.fold) for task, run in SEGMENTER_RUNS],
        images=CONFIG.proof.images,
        mixed_real_percent=CONFIG.proof.mixed_real_percent,
        detector=CONFIG.proof.detection.detector,
        synthetic=CONFIG.proof.synthetic,
        samples=CONFIG.proof.bootstrap_samples,
        seed=CONFIG.seed,
        code=script_digest("evaluate_proof"),
    message:
        "Scoring detectors and segmenters on the test recordings"
    script:
        "../scripts/evaluate_proof.py"


# Whether the data is worth training on (the paper's Table 2).
rule proof:
    input:
        rules.evaluate_proof.output,
