# SplatScope: from endoscope recordings with tracked poses to an annotated dataset and a report on how good it is.
#
#   snakemake --cores all                                 everything, with config/config.yaml
#   snakemake --cores all --configfile my.yaml            with your settings and recordings
#   snakemake --cores all simulate                        simulated operations: a dataset without any recording
#   snakemake --cores all mix                             simulated tools in captured frames, and the reverse
#   snakemake --cores all restyle                         simulated frames made to look real, and what that kept
#   snakemake --cores all baselines                       our replay beside Instant-NGP's and Nerfacto's
#   snakemake --cores all proof                           detectors trained on real, on synthetic frames, on both
#   snakemake --cores all ablation                        what tracker errors and each part of the method cost
#   snakemake --cores all paper                           both papers' tables beside ours: results/paper/report.html
#   snakemake --cores all results/check/sampled.passed    whether a dataset is what the section `checks` declares
#   snakemake --cores all results/dataset/sampled/annotations.json    one result and what it needs
#
# Stages, in flow order: workflow/README.md.

from snakemake.utils import min_version

min_version("9.0")


# The environment as an image (envs/Dockerfile); used only with `--software-deployment-method apptainer`.
container: "docker://splatscope:0.1.0"


configfile: f"{workflow.basedir}/config/config.yaml"


include: "workflow/rules/guard.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/phantom.smk"
include: "workflow/rules/ingest.smk"
include: "workflow/rules/poses.smk"
include: "workflow/rules/splat.smk"
include: "workflow/rules/extract.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/compose.smk"
include: "workflow/rules/render.smk"
include: "workflow/rules/mix.smk"
include: "workflow/rules/style.smk"
include: "workflow/rules/restyle.smk"
include: "workflow/rules/annotate.smk"
include: "workflow/rules/check.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/proof.smk"
include: "workflow/rules/ablation.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/paper.smk"


# Seconds of work on small files, not worth a cluster's queue: these run where `snakemake` does.
localrules:
    gather_ablation,
    paper,
    require_checks,
    write_paper,
    write_report,
    write_summary,


# Snakemake's cache (`--cache`) takes no rule that is benchmarked, because what comes from there has cost nothing.
if workflow.enable_cache:
    for cached in [one for one in workflow.rules if one.cache.output]:
        cached._benchmark = None


rule all:
    default_target: True
    input:
        "results/report.html",
        "results/summary.json",
        "results/dataset/sampled/annotations.json",
        checked(*BROWSED),
