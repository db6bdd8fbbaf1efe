from pathlib import Path

from splatscope.config.ingest import IngestConfig
from splatscope.digests import provenance
from splatscope.ingest.recording import IngestOutputs, ingest_recording
from splatscope.jobs import run_job

with run_job(snakemake):
    fields = ("frames", "table", "camera", "valid", "record", "thumbnails")
    outputs = IngestOutputs(**{field: Path(snakemake.output[field]) for field in fields})
    config = IngestConfig.model_validate(snakemake.params.config)
    seed = snakemake.params.seed
    ingest_recording(snakemake.params.recording, config, outputs, seed=seed, provenance=provenance(snakemake))
