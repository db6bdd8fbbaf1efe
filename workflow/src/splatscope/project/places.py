"""Where things lie: the checkout, and a project, the folder in which the workflow runs."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[4]  # the checkout: Snakefile, resources
CONFIG = Path("config/config.yaml")
RECORDINGS = Path("config/recordings.tsv")


def settings_files(folder: Path) -> list[Path]:
    """The settings of the project in `folder`; none where there is no project."""
    file = (folder / CONFIG).absolute()
    return [file] if file.is_file() else []
