# ingest: video + tracker log + calibration -> sharp undistorted frames, one frame table with poses, clock offset.


rule ingest_recording:
    input:
        video=recording_file("video"),
        tracker=recording_file("tracker"),
        calibration=recording_file("calibration"),
        poses=recording_file("poses"),
    output:
        frames="results/ingest/{recording}/frames.tar",
        manifest="results/ingest/{recording}/frames.json",
        table="results/ingest/{recording}/frames.parquet",
        camera="results/ingest/{recording}/camera.json",
        valid="results/ingest/{recording}/valid.png",
        record="results/ingest/{recording}/ingest.json",
        thumbnails="results/ingest/{recording}/thumbnails.jpg",
    log:
        "results/logs/ingest_recording/{recording}.log",
    benchmark:
        "results/benchmarks/ingest_recording/{recording}.tsv"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        recording=lambda wildcards: RECORDINGS[wildcards.recording].as_plain(),
        config=settings("ingest"),
        seed=CONFIG.seed,
        code=script_digest("ingest_recording"),
    message:
        "Reading the recording {wildcards.recording}"
    script:
        "../scripts/ingest_recording.py"
