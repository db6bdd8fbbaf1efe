"""What each recording is for, by its name and by which sensors move."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from splatscope.classes import INSTRUMENTS
from splatscope.project.finding import FoundLog
from splatscope.project.pairing import Pair, words
from splatscope.recordings import NAME_PATTERN, RESERVED_NAMES, Role

CAMERA_WORDS = ("camera", "cam", "scope", "endoscope", "laparoscope")
ROLE_WORDS = {
    Role.BACKGROUND: ("background", "site", "empty", "notool", "tissue", "liver", "organ"),
    Role.TEST: ("test", "heldout", "unseen", "validation"),
    Role.SCENE: ("scene", "trial", "both", "operation", "surgery", "task"),
    Role.TOOL: ("tool", "instrument", *sorted({word for name in INSTRUMENTS for word in re.findall("[a-z]+", name)})),
}
STILL_MM = 5.0  # RMS distance from its mean position of a tool that lies while the camera circles it
LEAST_SEEN = 0.2  # share of a log's rows in which a sensor that takes part is seen


@dataclass(frozen=True)
class Guess:
    """A recording to be; `tool_sensors` are the sensors beside the camera's that its log sees."""

    pair: Pair
    name: str
    role: Role | None  # None: nothing tells
    why: str
    tool_sensors: tuple[str, ...] = ()
    tool_sensor: str | None = None  # of a tool recording: the sensor on that tool

    @property
    def log(self) -> FoundLog | None:
        return self.pair.log


@dataclass(frozen=True)
class Guesses:
    """All recordings, the camera's sensor, and the class of each tool."""

    recordings: list[Guess]
    camera_sensor: str | None
    classes: Mapping[str, str | None] = field(default_factory=dict)  # by tool recording; None: nothing tells

    def with_roles(self, roles: Mapping[str, Role]) -> Guesses:
        """The same with roles that somebody has said, by recording; tools are named anew."""
        said = [
            replace(guess, role=roles[guess.name], why="as you said") if guess.name in roles else guess
            for guess in self.recordings
        ]
        return _settled(said, self.camera_sensor)

    def with_classes(self, classes: Mapping[str, str]) -> Guesses:
        return replace(self, classes={**self.classes, **classes})


def guess_roles(pairs: Sequence[Pair], camera_sensor: str | None = None) -> Guesses:
    """Roles by words of names where they tell, else by what the tracker saw. The camera's sensor may be said."""
    logs = [pair.log for pair in pairs if pair.log is not None]
    camera = camera_sensor or find_camera_sensor(logs)
    own_folders = len({pair.video.path.parent for pair in pairs}) == len(pairs)
    guesses: list[Guess] = []
    for pair in pairs:
        sensors = _seen_tools(pair.log, camera)
        role, why = _role_by_name(pair.video.path, own_folders)
        if role is None:
            role, why = _role_by_motion(pair.log, camera, sensors)
        guesses.append(Guess(pair, recording_name(pair.video.path, guesses), role, why, sensors))
    return _settled(_hold_out_a_test(guesses), camera)


def find_camera_sensor(logs: Sequence[FoundLog]) -> str | None:
    """The sensor with a camera's name, else the one that every log sees; None when neither tells."""
    names = sorted({name for log in logs for name in log.log.tracker_from_sensor})
    named = [name for name in names if {*re.findall("[a-z]+", name.lower())} & {*CAMERA_WORDS}]
    if named:
        return named[0]
    everywhere = [name for name in names if all(_is_seen(log, name) for log in logs)]
    return everywhere[0] if len(everywhere) == 1 else None


def recording_name(path: Path, before: Sequence[Guess] = ()) -> str:
    """A name that recordings.tsv takes, from the file's or its folder's, unlike those before."""
    own, folder = words(path)
    generic = path.stem.lower() in ("video", "recording", "movie", "capture", "frames", "images")
    name = "_".join(folder if generic and folder else own)[:60] or "recording"
    name = f"{name}_recording" if name in RESERVED_NAMES else name
    taken, number, unique = {guess.name for guess in before}, 1, name
    while unique in taken or not NAME_PATTERN.fullmatch(unique):
        number += 1
        unique = f"{name}_{number}"
    return unique


def guess_class(names: Sequence[str], known: Sequence[str] = INSTRUMENTS) -> str | None:
    """The instrument class that one of these names speaks of: all its words, else one that no other class has."""
    for name in names:
        spoken = {*re.findall("[a-z]+", name.lower())}
        whole = [label for label in known if {*re.findall("[a-z]+", label)} <= spoken]
        if whole:
            return max(whole, key=len)
        partly = [label for label in known if {*re.findall("[a-z]+", label)} & spoken]
        if len(partly) == 1:
            return partly[0]
    return None


def _role_by_name(path: Path, own_folder: bool) -> tuple[Role | None, str]:
    """A folder that holds several videos says nothing of one."""
    own, folder = words(path)
    for spoken in (own, folder) if own_folder else (own,):
        for role, meanings in ROLE_WORDS.items():
            if hit := [word for word in spoken if word in meanings]:
                return role, f"its name says {hit[0]!r}"
    return None, ""


def _role_by_motion(log: FoundLog | None, camera: str | None, tools: tuple[str, ...]) -> tuple[Role | None, str]:
    if log is None or camera is None:
        return None, "neither its name nor a tracker log tells"
    if not tools:
        return Role.BACKGROUND, "the tracker saw the camera's sensor alone"
    spread = {name: _spread_mm(log, name) for name in tools}
    still = [name for name in tools if spread[name] < STILL_MM]
    if len(tools) == 1 and still:
        return Role.TOOL, f"the tool's sensor lies still ({spread[still[0]]:.1f} mm RMS) while the camera moves"
    moving = max(tools, key=lambda name: spread[name])
    return Role.SCENE, f"the tool moves too (sensor {moving}, {spread[moving]:.0f} mm RMS)"


def _hold_out_a_test(guesses: list[Guess]) -> list[Guess]:
    """Of several scenes that nobody named, the shortest becomes the unseen test."""
    scenes = [guess for guess in guesses if guess.role is Role.SCENE]
    if len(scenes) < 2 or any(guess.role is Role.TEST for guess in guesses):
        return guesses
    unnamed = [guess for guess in scenes if not guess.why.startswith("its name")]
    if not unnamed:
        return guesses
    shortest = min(unnamed, key=lambda guess: guess.pair.video.duration_s or np.inf)
    test = replace(shortest, role=Role.TEST, why=f"{shortest.why}; the shortest such is held out")
    return [test if guess is shortest else guess for guess in guesses]


def _settled(guesses: list[Guess], camera: str | None) -> Guesses:
    """Tool recordings with their sensors and classes."""
    settled, classes = [], {}
    for guess in guesses:
        if guess.role is Role.TOOL:
            sensor = _own_sensor(guess)
            guess = replace(guess, tool_sensor=sensor)
            classes[guess.name] = guess_class([guess.name, sensor or ""])
        settled.append(guess)
    return Guesses(settled, camera, classes)


def _own_sensor(guess: Guess) -> str | None:
    """The tool sensor of a tool recording: the only one, the one of its name, else the stillest."""
    if guess.log is None or not guess.tool_sensors:
        return None
    named = [name for name in guess.tool_sensors if recording_name(Path(name)) == guess.name]
    return named[0] if named else min(guess.tool_sensors, key=lambda name: _spread_mm(guess.log, name))


def _seen_tools(log: FoundLog | None, camera: str | None) -> tuple[str, ...]:
    names = [] if log is None else log.log.tracker_from_sensor
    return tuple(name for name in names if name != camera and _is_seen(log, name))


def _is_seen(log: FoundLog, sensor: str) -> bool:
    return sensor in log.log.tracker_from_sensor and float(log.log.valid(sensor).mean()) >= LEAST_SEEN


def _spread_mm(log: FoundLog, sensor: str) -> float:
    """RMS distance of a sensor from its median position; the farthest hundredth aside, which are outliers."""
    positions = log.log.tracker_from_sensor[sensor][log.log.valid(sensor)][:, :3, 3]
    distance = np.linalg.norm(positions - np.median(positions, axis=0), axis=1)
    return float(np.sqrt(np.mean(np.sort(distance)[: max(1, int(0.99 * len(distance)))] ** 2)))
