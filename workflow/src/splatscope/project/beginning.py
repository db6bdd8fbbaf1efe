"""The files of a new project, checked before they are written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from splatscope.config.ingest import IngestConfig
from splatscope.config.load import check_config
from splatscope.errors import InputError
from splatscope.files import write_text
from splatscope.ingest.calibration import fit_to_video, is_calibration_file, read_calibration
from splatscope.ingest.check import validate_recording
from splatscope.project.finding import FoundVideo
from splatscope.project.places import CONFIG, RECORDINGS
from splatscope.project.roles import Guess, Guesses
from splatscope.recordings import Recording, Role

LEAST_COVER = 0.5  # of a video's length that its log's valid poses of the camera span
COLUMNS = ("name", "role", "video", "tracker", "calibration")
TABLE_NOTE = (
    "# One row per recording, tab-separated; '-' where there is nothing. Paths count from the project's folder.\n"
)
CONFIG_NOTE = """\
# What this project sets otherwise than the defaults; `splatscope run` reads it. config/config.yaml and
# config/config.schema.json of the SplatScope checkout list every setting with its meaning, unit and default.
"""


@dataclass(frozen=True)
class NewProject:
    """What is to be written, and what to know about it."""

    recordings: list[Recording]
    settings: list[tuple[str, Any, str]]  # dotted key, value, why
    warnings: list[str]

    def table(self) -> str:
        """recordings.tsv."""
        rows = ["\t".join(COLUMNS)]
        for row in self.recordings:
            files = [str(row.files.get(column, "-")) for column in COLUMNS[2:]]
            rows.append("\t".join([row.name, row.role.value, *files]))
        return TABLE_NOTE + "\n".join(rows) + "\n"

    def config(self) -> str:
        """config.yaml: a comment before each setting."""
        lines = [CONFIG_NOTE]
        section = None
        for key, value, why in self.settings:
            own, _, inner = key.partition(".")
            if own != section:
                lines.append(f"{own}:")
                section = own
            text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000).splitlines()[0]
            lines += [f"  # {why}", f"  {inner}: {text}"]
        return "\n".join(lines) + "\n"


def plan_project(guesses: Guesses, calibrations: Sequence[Path], folder: Path) -> NewProject:
    """The project of these recordings in `folder`, each checked as the workflow will.

    Raises InputError for a recording without role, a tool without class, and whatever ingest would refuse.
    """
    refuse_unknown(guesses)
    settings = _settings(guesses)
    config = _checked(settings)
    warnings = _warnings(guesses)
    recordings = []
    for guess in guesses.recordings:
        tracker = None if guess.log is None else guess.log.path
        calibration = choose_calibration(guess.pair.video, calibrations)
        recording = Recording(guess.name, guess.role, guess.pair.video.path, tracker, calibration)
        validate_recording(recording, config)
        recordings.append(
            Recording(
                guess.name,
                guess.role,
                *(
                    None if path is None else seen_from(path, folder)
                    for path in (guess.pair.video.path, tracker, calibration)
                ),
            )
        )
    if not calibrations:
        warnings.append("no calibration found: COLMAP estimates the lens, from the video alone")
    return NewProject(recordings, settings, warnings)


def write_project(project: NewProject, folder: Path) -> list[Path]:
    """Write the two files; the paths. Raises InputError, before anything is written, where one exists."""
    refuse_existing(folder)
    write_text(folder / RECORDINGS, project.table())
    write_text(folder / CONFIG, project.config())
    return [folder / RECORDINGS, folder / CONFIG]


def refuse_existing(folder: Path) -> None:
    """Raise InputError where there is a project already."""
    for file in (folder / RECORDINGS, folder / CONFIG):
        if file.exists():
            raise InputError(
                file,
                found="a project that has been begun",
                expected="a folder without one: nothing is overwritten",
                remedy="make an empty folder and run the command there, or name one by --directory",
            )


def refuse_unknown(guesses: Guesses) -> None:
    """Raise InputError where something is left to be said."""
    open_roles = [guess for guess in guesses.recordings if guess.role is None]
    if open_roles:
        first = open_roles[0]
        raise InputError(
            first.pair.video.path,
            found=f"a recording whose role nothing tells ({first.why})",
            expected=" | ".join(Role),
            remedy=f"say --role {first.name}=background (or another role)",
        )
    if not any(guess.role is Role.BACKGROUND for guess in guesses.recordings):
        roles = ", ".join(f"{guess.name}: {guess.role}" for guess in guesses.recordings)
        raise InputError(
            "recordings",
            found=f"no recording of the site without tools ({roles})",
            expected="at least one background recording",
            remedy="film it, or say which it is: --role NAME=background",
        )
    for tool, label in guesses.classes.items():
        if label is None:
            raise InputError(
                tool,
                found="a tool whose class neither its file's name nor its sensor's tells",
                expected="a class of resources/classes.tsv, which becomes its label",
                remedy=f"say --class {tool}=grasper (or another class)",
            )
    if guesses.camera_sensor is None and any(guess.log for guess in guesses.recordings):
        names = {name for guess in guesses.recordings if guess.log for name in guess.log.log.tracker_from_sensor}
        raise InputError(
            "tracker logs",
            found=f"sensors {', '.join(sorted(names))}, and none is the camera's by name or by being in every log",
            expected="the sensor on the camera",
            remedy=f"say --camera-sensor {min(names)} (or another one)",
        )


def choose_calibration(video: FoundVideo, calibrations: Sequence[Path]) -> Path | None:
    """The calibration beside the video, else the first one that fits its size, else a checkerboard video."""
    if video.width is None:
        return calibrations[0] if calibrations else None
    fitting = [file for file in calibrations if not is_calibration_file(file) or _fits(file, video)]
    fitting.sort(key=lambda file: (file.parent != video.path.parent, not is_calibration_file(file)))
    return fitting[0] if fitting else None


def seen_from(path: Path, folder: Path) -> Path:
    """The path as it is written into the table: from the project's folder when it lies inside, else absolute."""
    path, folder = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    return path.relative_to(folder) if folder in path.parents else path


def _fits(file: Path, video: FoundVideo) -> bool:
    try:
        fit_to_video(read_calibration(file), video.width, video.height, file, video.path)
    except InputError:
        return False
    return True


def _settings(guesses: Guesses) -> list[tuple[str, Any, str]]:
    default = IngestConfig()
    settings: list[tuple[str, Any, str]] = []
    if guesses.camera_sensor not in (None, default.camera_sensor):
        settings.append(
            ("ingest.camera_sensor", guesses.camera_sensor, "The sensor on the camera, as the logs name it.")
        )
    tools = {guess.name: guess.tool_sensor for guess in guesses.recordings if guess.tool_sensor is not None}
    if tools != default.tool_sensors:
        settings.append(("ingest.tool_sensors", tools, "For each tool recording the sensor on that tool."))
    if any(guess.log and guess.log.unit == "m" for guess in guesses.recordings):
        settings.append(("ingest.tracker_unit", "m", "The logs hold metres: in millimetres no tracker is that near."))
    classes = {tool: label for tool, label in guesses.classes.items() if label != tool.replace("_", " ")}
    if classes:
        settings.append(("compose.tool_classes", classes, "What each tool is labelled as (resources/classes.tsv)."))
    why = "Simulated operations, made beside your own frames when this is more than 0."
    settings.append(("simulate.episodes", 0, why))
    return settings


def _checked(settings: list[tuple[str, Any, str]]) -> IngestConfig:
    content: dict = {}
    for key, value, _ in settings:
        section, _, inner = key.partition(".")
        content.setdefault(section, {})[inner] = value
    return check_config(content).ingest


def _warnings(guesses: Guesses) -> list[str]:
    warnings = []
    roles = [guess.role for guess in guesses.recordings]
    if Role.TOOL not in roles:
        warnings.append("no tool recording: frames will show the site alone")
    if Role.SCENE not in roles:
        warnings.append("no scene recording: nothing to measure the quality by (no replay)")
    for guess in guesses.recordings:
        if guess.log is None:
            warnings.append(f"{guess.name}: no tracker log, so no scale of its own ({guess.pair.why})")
            continue
        if guess.pair.doubtful:
            warnings.append(f"{guess.name}: check which log is its: {guess.pair.why}")
        warnings += _overlap_warnings(guess, guesses.camera_sensor)
        if guess.role is Role.TOOL and guess.tool_sensor is None:
            warnings.append(f"{guess.name}: the log sees no sensor beside the camera's")
    return warnings


def _overlap_warnings(guess: Guess, camera_sensor: str | None) -> list[str]:
    """Whether the log spans enough of the video, when both start together; ingest finds the exact clock offset."""
    length = guess.pair.video.duration_s
    log = guess.log.log
    if not length or camera_sensor not in log.tracker_from_sensor or log.valid(camera_sensor).sum() < 2:
        return []
    seen = log.time_s[log.valid(camera_sensor)]
    cover = min(1.0, float(seen[-1] - seen[0]) / length)
    if cover >= LEAST_COVER:
        return []
    return [f"{guess.name}: the log has the camera's pose over {cover:.0%} of the video's length only"]
