from splatscope.config.proof import DetectionConfig
from splatscope.jobs import run_job
from splatscope.proof.detection import run_detector
from splatscope.proof.run_list import Run
from splatscope.proof.runs import Sets, Sizes

with run_job(snakemake):
    files, out, params, which = snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards
    run_detector(
        Run(which.arm, int(which.percent), int(which.fold)),
        Sets(files.real, files.synthetic, files.test),
        Sizes(params.images, params.mixed_real_percent),
        DetectionConfig.model_validate(params.config),
        params.seed,
        device=params.device,
        detections_parquet=out.detections,
        weights=out.weights,
        curve_csv=out.curve,
    )
