from pathlib import Path

from splatscope.config.ingest import IngestConfig
from splatscope.digests import provenance
from splatscope.ingest.recording import IngestOutputs, ingest_recording
from splatscope.jobs import run_job
from splatscope.recordings import Recording

with run_job(snakemake):
    fields = ("frames", "table", "camera", "valid", "record", "thumbnails")
    outputs = IngestOutputs(**{field: Path(snakemake.output[field]) for field in fields})
    files = {column: next(iter(paths), None) for column, paths in snakemake.input.items()}
    recording = Recording.from_plain(snakemake.params.recording | files)
    config = IngestConfig.model_validate(snakemake.params.config)
    ingest_recording(recording, config, outputs, seed=snakemake.params.seed, provenance=provenance(snakemake))
