"""The command line itself: help, exit codes, completion, JSON, `run`."""

import json
import os
import subprocess
import sys

import pytest

from splatscope import cli
from splatscope.commands.run import snakemake_command


def test_help_names_every_command_and_exit_code(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(f"    {name} " in said for name in cli.COMMANDS)
    assert "exit codes:" in said and "\n  2  not done" in said


@pytest.mark.parametrize("command", [name for name in cli.COMMANDS if name not in ("run", "view")])
def test_every_command_prints_json(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    assert "--json" in capsys.readouterr().out


def test_unknown_options_are_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["verify", "--jsn"])
    assert ended.value.code == 2 and "--jsn" in capsys.readouterr().err


@pytest.mark.parametrize("shell, check", [("bash", ["bash", "-n"]), ("zsh", None), ("fish", None)])
def test_completion(shell, check, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--print-completion", shell])
    script = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(name in script for name in cli.COMMANDS) and "--picture" in script.replace("-l picture", "--picture")
    if check:
        assert subprocess.run(check, input=script, text=True).returncode == 0


def test_bash_completes_commands_and_options():
    script = subprocess.run(
        [sys.executable, "-m", "splatscope", "--print-completion", "bash"], capture_output=True, text=True, check=True
    ).stdout
    ask = 'COMP_WORDS=(splatscope {}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); {}; printf "%s\\n" "${{COMPREPLY[@]}}"'

    def completions(words: str) -> set[str]:
        function = "_shtab_splatscope"
        done = subprocess.run(
            ["bash", "-c", script + "\n" + ask.format(words, function)], capture_output=True, text=True
        )
        return set(done.stdout.split())

    assert {"inspect", "init"} <= completions("in")
    assert "--picture" in completions("diff --p")


def test_a_closed_pipe_is_no_error(tmp_path):
    command = f"{sys.executable} -m splatscope inspect {tmp_path}/a.json | true"
    (tmp_path / "a.json").write_text(json.dumps({f"key {n}": n for n in range(50)}))
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def test_run_adds_what_was_not_said(tmp_path, repository):
    bare = ["snakemake", "--snakefile", str(repository / "Snakefile"), "--cores", "all"]
    assert snakemake_command(tmp_path, []) == bare
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").touch()
    own = ["--configfile", str(tmp_path / "config/config.yaml")]
    assert snakemake_command(tmp_path, ["mix"]) == ["snakemake", "mix", *bare[1:], *own]
    said = ["mix", "--cores", "2", "--configfile", "a.yaml"]
    assert snakemake_command(tmp_path, said) == ["snakemake", *said, "--snakefile", str(repository / "Snakefile")]
    assert "--cores" not in snakemake_command(tmp_path, ["-c1"])


def test_run_passes_options_on(tmp_path, repository):
    environment = os.environ | {"PYTHONPATH": str(repository / "workflow" / "src")}
    command = [sys.executable, "-m", "splatscope", "run", "--version", "--cores", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    printed, version = done.stdout.splitlines()
    assert done.returncode == 0 and printed.startswith("+ snakemake --version --cores 1 --snakefile ")
    assert version.split(".")[0] == "9"
