"""Where things lie: the checkout, and a project, the folder in which the workflow runs."""

from __future__ import annotations

from pathlib import Path

from splatscope.records import DIGESTS

REPOSITORY = Path(__file__).resolve().parents[4]  # the checkout: Snakefile, resources
CONFIG = Path("config/config.yaml")
RECORDINGS = Path("config/recordings.tsv")


def settings_files(folder: Path) -> list[Path]:
    """The settings of the project in `folder`; none where there is no project."""
    file = (folder / CONFIG).absolute()
    return [file] if file.is_file() else []


def shipped(path: str) -> str:
    """A file or folder that a setting names: in the working directory, or else among what ships with the project."""
    ours = REPOSITORY / path
    return str(ours) if path and not Path(path).exists() and ours.exists() else path


def results_of(path: Path) -> Path | None:
    """The folder of results that a file or folder lies in; None when it lies in none."""
    path = path.absolute()
    return next((place for place in (path, *path.parents) if (place / DIGESTS).is_dir()), None)
