from pathlib import Path

from splatscope.config.style_training import StyleTrainingConfig
from splatscope.jobs import run_job
from splatscope.restyle.style_training.stage import train_style

with run_job(snakemake):
    params = snakemake.params
    config = StyleTrainingConfig.model_validate(params.config)
    out = Path(snakemake.output.lora).parent
    train_style(params.model, config, params.seed, out, device=params.device, allow_pickles=params.allow_pickles)
