# phantom: recordings made exactly as a user would bring them, and the hidden truth apart.
# Runs only when recordings.tsv names files under results/phantom.


rule write_phantom_rig:
    output:
        calibration="results/phantom/calibration.yaml",
        truth="results/phantom/truth/truth.json",
        mesh="results/phantom/truth/needle_driver.ply",
    log:
        "results/logs/write_phantom_rig.log",
    benchmark:
        "results/benchmarks/write_phantom_rig.tsv"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        config=settings("phantom"),
        seed=CONFIG.seed,
        code=script_digest("write_phantom_rig"),
    message:
        "Writing the phantom's calibration, tool mesh and hidden transforms"
    script:
        "../scripts/write_phantom_rig.py"


rule render_phantom_recording:
    output:
        video="results/phantom/{recording}/video.mp4",
        tracker="results/phantom/{recording}/tracker.csv",
        truth_frames="results/phantom/truth/{recording}.tar",
        truth_manifest="results/phantom/truth/{recording}.json",
        truth_poses="results/phantom/truth/{recording}.parquet",
    log:
        "results/logs/render_phantom_recording/{recording}.log",
    benchmark:
        "results/benchmarks/render_phantom_recording/{recording}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        recording="{recording}",
        config=settings("phantom"),
        seed=CONFIG.seed,
        code=script_digest("render_phantom_recording"),
    message:
        "Rendering the phantom recording {wildcards.recording}"
    script:
        "../scripts/render_phantom_recording.py"
