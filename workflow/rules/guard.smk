# guard: before the DAG is built, one run in a folder, nothing left of a killed one, no damage among the results.
# Snakemake calls nobody there (`onstart` comes when the DAG has already taken a damaged file for a good one), so its
# `execute` is wrapped: it is what a run and a dry run go through, and neither a job's process nor --lint, --summary, ...

import os
import subprocess
import sys
from base64 import urlsafe_b64encode

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from splatscope.errors import InputError
from splatscope.jobs import die_with_run, name_run
from splatscope.records import Records
from splatscope.run_lock import claim_folder
from splatscope.storage import check_writable
from splatscope.verify import find_damage, give_back_times, mend_times, repair

REMAKING = "SPLATSCOPE_REMAKING"  # which results, in the process that makes damaged ones again


def guarded(execute):
    """The workflow's `execute`, as the only run in its folder and on sound results."""

    def run(*arguments, executor_plugin, **more):
        kind = executor_plugin.common_settings
        lock = None
        try:
            if not kind.dryrun_exec:
                for folder in (".snakemake", "results"):
                    check_writable(folder)
                lock = claim_folder(".snakemake")
            if not kind.touch_exec:
                look_for_damage(report_only=kind.dryrun_exec)
            return execute(*arguments, executor_plugin=executor_plugin, **more)
        except InputError as error:
            raise WorkflowError(str(error)) from None
        finally:
            if lock is not None:
                lock.release()

    return run


def look_for_damage(report_only):
    """Move damaged results aside and make them again."""
    records = Records()
    findings = find_damage(records)
    for manifest in findings.left_out:
        logger.info(f"{manifest.parent} has too many files to look at before a run: `splatscope verify` reads them.")
    for file, reason in sorted(findings.damaged.items()):
        logger.warning(f"Damaged: {file}: {reason}. A run moves it to results/damaged and makes it again.")
    if report_only:
        return
    mend_times(records, findings)
    findings.remake |= {file for file in findings.missing if not has_note(file)}
    if findings.remake or findings.damaged:
        before = dict(records.all())
        repair(records, findings)
        make_again(findings.remake)
        give_back_times(records, before)


def has_note(file):
    """Whether Snakemake knows what made a missing file, as it does when a user deletes it.

    It forgets when a job fails. Had the job begun because settings changed, Snakemake would then take what was made
    from the earlier file for up to date, and say that there is nothing to be done.
    """
    notes = os.path.join(".snakemake", "metadata")
    name = urlsafe_b64encode(str(file).encode()).decode()
    longest = os.pathconf(notes, "PC_NAME_MAX") - 1 if os.path.isdir(notes) else 254
    *folders, last = [name[start : start + longest] for start in range(0, len(name), longest)]
    return os.path.exists(os.path.join(notes, *(f"@{folder}" for folder in folders), last))


def make_again(files):
    """Make these files by the rules of this run, and nothing of what depends on them, which is as good as it was."""
    listed = same_command([], "--summary", stdout=subprocess.PIPE)
    of_this_run = {line.split("\t")[0] for line in listed.stdout.splitlines()}
    wanted = sorted({str(file) for file in files} & of_this_run)
    if wanted:
        logger.info(f"Making again: {', '.join(wanted)}")
        same_command(wanted)


def same_command(targets, *options, **process):
    """The command that started this run once more, for other targets."""
    # the lock is this process's; and an option without arguments ends the list of another's
    command = [sys.executable, "-m", "snakemake", *options, "--nolock", *sys.argv[1:]]
    environment = os.environ | {REMAKING: "\n".join(targets)}
    done = subprocess.run(command, cwd=workflow.rundir, env=environment, text=True, **process)
    if done.returncode != 0:
        raise WorkflowError("Damaged or unfinished results could not be made again; the reason stands above.")
    return done


def retargeted(execute, targets):
    """The workflow's `execute`, for these files instead of what the command line names."""

    def run(*arguments, **more):
        workflow.dag_settings.targets = frozenset(targets)
        return execute(*arguments, **more)

    return run


def finishing_what_was_begun(execute):
    """The workflow's `execute` with --rerun-incomplete, whatever the profile says."""

    def run(*arguments, **more):
        workflow.dag_settings.force_incomplete = True
        return execute(*arguments, **more)

    return run


if workflow.is_main_process:
    workflow.execute = finishing_what_was_begun(workflow.execute)
    if REMAKING in os.environ:
        die_with_run()
        workflow.execute = retargeted(workflow.execute, os.environ.pop(REMAKING).split("\n"))
    else:
        workflow.execute = guarded(workflow.execute)
name_run()
