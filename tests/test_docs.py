"""Every command in the README and the documents runs, or, where it takes long, is one that would."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fake_results import write_ingest
from project_material import write_recordings, write_results
from splat_samples import write_recording
from splatscope import cli

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([REPOSITORY / "README.md", REPOSITORY / "workflow/README.md", *(REPOSITORY / "docs").glob("*.md")])
PROGRAMS = ("splatscope", "snakemake", "make")
# run for its effect elsewhere, never here: what needs root, a cluster, a GPU, or a place of the reader's own
ELSEWHERE = ("snakemake --workflow-profile", "SNAKEMAKE_OUTPUT_CACHE", "snakemake --cache")
BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```|((?:^ {4}(?! ).*\n)+)", re.MULTILINE | re.DOTALL)


def commands_in(document: Path) -> list[str]:
    """Commands of code blocks, and those in backticks that begin with one of our programs and go on."""
    text = document.read_text()
    lines = [line.strip() for block in BLOCK.finditer(text) for line in (block[1] or block[2]).splitlines()]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = []
    for line in [*lines, *inline]:
        line = line.split("  #")[0].strip()
        if (
            line.split(" ")[0] in PROGRAMS
            and " " in line
            and "..." not in line
            and not re.search(r"\b[A-Z]{4,}\b", line)
        ):
            found.append(line)
    return list(dict.fromkeys(found))


EVERY = [(document.name, command) for document in DOCUMENTS for command in commands_in(document)]


def of(program: str) -> list:
    return [command for command in dict.fromkeys(command for _, command in EVERY) if command.startswith(f"{program} ")]


def test_commands_are_found():
    assert len(of("splatscope")) >= 15 and len(of("snakemake")) >= 8 and len(of("make")) >= 5
    assert ("cookbook.md", "splatscope plan --nodes 8 --cores 32") in EVERY


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with recordings beside it, and a finished project in it, as the documents assume."""
    folder = tmp_path_factory.mktemp("documents") / "project"
    write_recordings(folder.parent / "recordings")
    folder.mkdir()
    write_results(folder / "results")
    shutil.copytree(folder / "results/dataset/sampled", folder / "before")
    write_ingest(folder / "results/ingest/scene", "scene", "scene", 1)
    write_recording(folder / "results/poses", "scene", np.eye(4)[None])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(["init", "../recordings", "--yes"]) == 0
    return folder


# `run` is planned below with the other runs of the workflow; `view` goes on until it is stopped
@pytest.mark.parametrize("command", [one for one in of("splatscope") if one.split()[1] not in ("run", "view", "init")])
def test_splatscope_commands_work_in_a_project(command, project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    words = shlex.split(command)[1:]
    words = words[: words.index(">")] if ">" in words else words
    if len(words) == 1 and words[0] not in ("plan", "doctor", "verify"):  # the name of a command
        assert words[0] in cli.COMMANDS
        return
    try:
        code = cli.main(words)
    except SystemExit as ended:  # of options that end it: --print-completion
        code = ended.code
    assert code == 0, capsys.readouterr()


@pytest.mark.parametrize("command", [one for one in of("splatscope") if one.split()[1] == "view"])
def test_the_viewer_takes_its_options(command):
    parser, _ = cli.build_parser()
    assert parser.parse_args(shlex.split(command)[1:]).command == "view"


@pytest.mark.parametrize("command", of("make"))
def test_make_knows_the_target(command):
    done = subprocess.run([*shlex.split(command), "--dry-run"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def planned_together() -> dict[tuple, tuple[list[str], set[str]]]:
    """Runs of the workflow by their settings: the options of one of them, and the targets of all."""
    from snakemake.cli import get_argument_parser

    plain = [shlex.split(command)[1:] for command in of("snakemake") if not command.startswith(ELSEWHERE)]
    ours = [shlex.split(command)[2:] for command in of("splatscope") if command.startswith("splatscope run")]
    groups: dict[tuple, tuple[list[str], set[str]]] = {}
    for words in plain + ours:
        said = get_argument_parser().parse_args(words)
        settings = [f"--config={pair}" for pair in said.config or ()]
        settings += [f"--configfile={file}" for file in said.configfile or ()]
        groups.setdefault(tuple(settings), (settings, set()))[1].update(said.targets or {"all"})
    return groups


GROUPS = planned_together()


@pytest.mark.parametrize("group", GROUPS, ids=" ".join)
def test_the_workflow_has_the_targets_and_settings(group, tmp_path):
    settings, targets = GROUPS[group]
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    shutil.copy(REPOSITORY / "config/recordings.tsv", tmp_path / "my_recordings.tsv")
    for option in settings:
        if option.startswith("--configfile="):  # a reader's own
            (tmp_path / option.partition("=")[2]).write_text("seed: 1\n")
    command = [sys.executable, "-m", "splatscope", "run", *sorted(targets), *settings, "--dry-run", "--quiet", "rules"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow/src")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tutorial_from_beginning_to_end(tmp_path):
    """Its commands in their order, as a new user; `run` is planned, and results stand in for what it would make."""
    write_recordings(tmp_path / "recordings")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow/src")}
    folder = tmp_path
    executed = []
    for block in re.findall(
        r"^```sh\n(.*?)^```", (REPOSITORY / "docs/tutorial.md").read_text(), re.MULTILINE | re.DOTALL
    ):
        for line in block.splitlines():
            words = shlex.split(line)
            if words[0] == "cd":
                folder = folder / words[1]
                continue
            if words[0] == "splatscope":
                extra = {"init": ["--yes"], "run": ["--dry-run"]}.get(words[1], [])
                words = [sys.executable, "-m", *words, *extra]
            done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            executed.append(line)
            if line == "splatscope run" and not (folder / "results/dataset").exists():
                assert "train_splat" in done.stdout  # the whole chain is planned
                write_results(folder / "results")
    assert [line.split()[1] for line in executed if line.startswith("splatscope")] == (
        ["doctor", "init", "plan", "run", "inspect", "inspect", "verify", "run", "diff", "regenerate"]
    )
    assert (folder / "dataset.png").stat().st_size > 0
