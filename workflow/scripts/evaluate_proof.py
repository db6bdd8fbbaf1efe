from splatscope.jobs import run_job
from splatscope.proof.evaluation import ProofOutputs, evaluate_proof
from splatscope.proof.run_list import Run
from splatscope.proof.runs import Sizes

with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    evaluate_proof(
        files.test,
        dict(zip((Run(*run) for run in params.detector_runs), files.detections)),
        dict(zip(((task, Run(*run)) for task, *run in params.segmenter_runs), files.confusions)),
        Sizes(params.images, params.mixed_real_percent),
        detector=params.detector,
        synthetic=params.synthetic,
        samples=params.samples,
        seed=params.seed,
        outputs=ProofOutputs(out.detection, out.segmentation, out.summary, out.curves, out.examples, out.efficiency),
    )
