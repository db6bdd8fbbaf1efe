from splatscope.classes import read_class_table
from splatscope.config.proof import SegmentationConfig
from splatscope.jobs import run_job
from splatscope.proof.run_list import Run
from splatscope.proof.runs import Sets, Sizes
from splatscope.proof.segmentation import run_segmenter

with run_job(snakemake):
    files, params, which = snakemake.input, snakemake.params, snakemake.wildcards
    run_segmenter(
        Run(which.arm, int(which.percent), int(which.fold)),
        which.task,
        Sets(files.real, files.synthetic, files.test),
        Sizes(params.images, params.mixed_real_percent),
        SegmentationConfig.model_validate(params.config),
        read_class_table(files.classes),
        params.seed,
        device=params.device,
        confusion_parquet=snakemake.output[0],
    )
