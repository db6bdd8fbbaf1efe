# poses: frames -> COLMAP model per group (the site's recordings together, each tool alone); then metric scale,
# hand-eye and world alignment solved over all groups at once.


rule reconstruct_group:
    input:
        frames=lambda wildcards: expand("results/ingest/{name}/frames.tar", name=GROUPS[wildcards.group]),
        tables=lambda wildcards: expand("results/ingest/{name}/frames.parquet", name=GROUPS[wildcards.group]),
        cameras=lambda wildcards: expand("results/ingest/{name}/camera.json", name=GROUPS[wildcards.group]),
        valid=lambda wildcards: expand("results/ingest/{name}/valid.png", name=GROUPS[wildcards.group]),
        records=lambda wildcards: expand("results/ingest/{name}/ingest.json", name=GROUPS[wildcards.group]),
        given=lambda wildcards: [
            brought(RECORDINGS[name].poses) for name in GROUPS[wildcards.group] if RECORDINGS[name].poses
        ],
    output:
        cameras="results/sfm/{group}/cameras.bin",
        images="results/sfm/{group}/images.bin",
        points="results/sfm/{group}/points3D.bin",
        summary="results/sfm/{group}/sfm.json",
    log:
        "results/logs/reconstruct_group/{group}.log",
    benchmark:
        "results/benchmarks/reconstruct_group/{group}.tsv"
    cache: workflow.enable_cache
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        group="{group}",
        recordings=lambda wildcards: [RECORDINGS[name].as_plain() for name in GROUPS[wildcards.group]],
        config=settings("sfm"),
        hand_eye=CONFIG.poses.camera_sensor_from_camera,
        seed=CONFIG.seed,
        code=script_digest("reconstruct_group"),
    message:
        "Structure from motion of {wildcards.group}"
    script:
        "../scripts/reconstruct_group.py"


rule solve_poses:
    input:
        tables=expand("results/ingest/{name}/frames.parquet", name=RECORDINGS),
        cameras=expand("results/ingest/{name}/camera.json", name=RECORDINGS),
        records=expand("results/ingest/{name}/ingest.json", name=RECORDINGS),
        models=expand(
            "results/sfm/{group}/{file}.bin",
            group=GROUPS,
            file=["cameras", "images", "points3D"],
        ),
        summaries=expand("results/sfm/{group}/sfm.json", group=GROUPS),
    output:
        tables=expand("results/poses/{name}.parquet", name=RECORDINGS),
        cameras=expand("results/poses/{name}.camera.json", name=RECORDINGS),
        points=expand("results/poses/{group}.points.ply", group=GROUPS),
        summary="results/poses/poses.json",
        plot=report("results/poses/residuals.png", category="poses"),
    log:
        "results/logs/solve_poses.log",
    benchmark:
        "results/benchmarks/solve_poses.tsv"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        groups={group: [RECORDINGS[name].as_plain() for name in names] for group, names in GROUPS.items()},
        config=settings("poses"),
        seed=CONFIG.seed,
        code=script_digest("solve_poses"),
    message:
        "Solving scale, hand-eye and alignment"
    script:
        "../scripts/solve_poses.py"
