"""`splatscope init`: who belongs to whom, what each recording is for, and files that the workflow takes."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from ingest_material import tracked_poses, write_toolbox_log, write_video
from project_material import write_recordings
from splatscope import cli
from splatscope.config.load import load_config
from splatscope.errors import InputError
from splatscope.project.finding import FoundVideo, find_recordings
from splatscope.project.pairing import pair_recordings
from splatscope.project.roles import guess_class, guess_roles, recording_name
from splatscope.recordings import Role, read_recordings


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("brought") / "day 1")


def test_a_project_of_unnamed_files(recordings, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", str(recordings), "--yes"]) == 0
    rows = {row.name: row for row in read_recordings("config/recordings.tsv")}
    assert {name: row.role for name, row in rows.items()} == {
        "img_41": Role.BACKGROUND,
        "needle_driver": Role.TOOL,
        "img_43": Role.SCENE,
    }
    assert {name: row.tracker.name for name, row in rows.items()} == {
        "img_41": "logA.csv",
        "needle_driver": "logB.csv",
        "img_43": "logC.csv",
    }
    assert all(row.calibration.name == "lens.json" for row in rows.values())
    config = load_config("config/config.yaml")
    assert config.ingest.camera_sensor == "scope"
    assert config.ingest.tool_sensors == {"needle_driver": "needle_driver"}
    assert config.compose.tool_classes == {}  # the tool's name is a class
    said = capsys.readouterr().out
    assert "lies still" in said and "splatscope run" in said and "durations fit" in said


def test_nothing_is_overwritten(recordings, tmp_path, capsys):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("seed: 7\n")
    assert cli.main(["init", str(recordings), "--yes", "--directory", str(tmp_path)]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert (tmp_path / "config" / "config.yaml").read_text() == "seed: 7\n"
    assert not (tmp_path / "config" / "recordings.tsv").exists()


def test_roles_and_classes_can_be_said(recordings, tmp_path, capsys):
    said = ["--role", "img_43=test", "--class", "needle_driver=grasper", "--json"]
    assert cli.main(["init", str(recordings), "--directory", str(tmp_path), *said]) == 0
    assert '"role": "test"' in capsys.readouterr().out
    assert load_config(tmp_path / "config/config.yaml").compose.tool_classes == {"needle_driver": "grasper"}
    for wrong in (
        ["--role", "img_43=tset"],
        ["--role", "nobody=test"],
        ["--class", "needle_driver=spoon"],
        ["--role", "x"],
    ):
        assert cli.main(["init", str(recordings), "--yes", "--directory", str(tmp_path / "other"), *wrong]) == 2
        assert not (tmp_path / "other").exists()


def test_recordings_inside_the_project_have_relative_paths(recordings, tmp_path):
    shutil.copytree(recordings, tmp_path / "videos")
    assert cli.main(["init", str(tmp_path / "videos"), "--yes", "--directory", str(tmp_path)]) == 0
    assert "\tvideos/IMG_41.mp4\t" in (tmp_path / "config/recordings.tsv").read_text()


def test_a_log_that_ingest_would_refuse_stops_it(recordings, tmp_path, capsys):
    (tmp_path / "a").mkdir()
    os.symlink(recordings / "IMG_41.mp4", tmp_path / "a" / "background.mp4")
    text = (recordings / "logA.csv").read_text().replace("needle_driver", "other").replace("scope", "camera")
    (tmp_path / "a" / "background.csv").write_text(text)
    assert (
        cli.main(["init", str(tmp_path / "a"), "--yes", "--camera-sensor", "lens", "--directory", str(tmp_path)]) == 2
    )
    assert "sensor 'lens'" in capsys.readouterr().err
    assert not (tmp_path / "config").exists()


def test_a_role_that_nothing_tells_is_asked_for(recordings, tmp_path, capsys):
    (tmp_path / "a").mkdir()
    os.symlink(recordings / "IMG_41.mp4", tmp_path / "a" / "IMG_1.mp4")
    assert cli.main(["init", str(tmp_path / "a"), "--yes", "--directory", str(tmp_path)]) == 2
    assert "--role img_1=background" in capsys.readouterr().err


def test_folders_without_video_are_refused(tmp_path):
    (tmp_path / "notes.docx").touch()
    with pytest.raises(InputError, match=r"no video among notes\.docx"):
        find_recordings(tmp_path)


def test_broken_files_are_left_aside_with_a_reason(recordings, tmp_path):
    os.symlink(recordings / "IMG_41.mp4", tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(b"no video")
    (tmp_path / "b.csv").write_text("a,b\n1,2\n")
    found = find_recordings(tmp_path)
    assert [video.path.name for video in found.videos] == ["a.mp4"]
    assert "does not open as video" in found.aside[tmp_path / "b.mp4"]
    assert "no header of a known layout" in found.aside[tmp_path / "b.csv"]


def some_log(path: Path, seconds: float, tool_mm: float = np.nan):
    time_s = np.arange(0, seconds, 1 / 40)
    tool = tracked_poses(time_s, 0.0)
    tool[:, 0, 3] = tool_mm
    return write_toolbox_log(path, time_s, {"camera": tracked_poses(time_s, 0.0), "grasper": tool})


@pytest.mark.parametrize(
    "videos, logs, expected",
    [
        ({"liver": 5, "trial": 9}, {"trial": 5.3, "liver": 9.3}, {"liver": "liver", "trial": "trial"}),  # names win
        ({"a1": 5, "a2": 9}, {"x": 9.3, "y": 5.3}, {"a1": "y", "a2": "x"}),
        ({"a1": 5, "a2": 9}, {"x": 9.3}, {"a1": None, "a2": "x"}),
        ({"a1": 5}, {"x": 60}, {"a1": None}),
    ],
)
def test_pairs(tmp_path, videos, logs, expected):
    for name, seconds in logs.items():
        some_log(tmp_path / f"{name}.csv", seconds)
    found = [FoundVideo(tmp_path / f"{name}.mp4", seconds) for name, seconds in videos.items()]
    for video in found:
        video.path.touch()
    write_video(tmp_path / "unused.mp4", [np.zeros((64, 64, 3), np.uint8)] * 2)
    pairs = pair_recordings(found, find_recordings(tmp_path).logs)
    assert {pair.video.path.stem: pair.log and pair.log.path.stem for pair in pairs} == expected


def test_equally_good_pairs_are_doubtful(tmp_path):
    logs = []
    for name in ("x", "y"):
        some_log(tmp_path / f"{name}.csv", 5.0)
    videos = [FoundVideo(tmp_path / f"a{n}.mp4", 5.0) for n in (1, 2)]
    for video in videos:
        video.path.touch()
    write_video(tmp_path / "unused.mp4", [np.zeros((64, 64, 3), np.uint8)] * 2)
    logs = find_recordings(tmp_path).logs
    assert all(pair.doubtful for pair in pair_recordings(videos, logs))


def test_of_two_scenes_the_shorter_is_held_out(tmp_path):
    names = {"one": 4.0, "two": 3.0}
    for name, seconds in names.items():
        some_log(tmp_path / f"{name}.csv", seconds, tool_mm=np.linspace(0, 80, len(np.arange(0, seconds, 1 / 40))))
    videos = [FoundVideo(tmp_path / f"{name}.mp4", seconds) for name, seconds in names.items()]
    for video in videos:
        video.path.touch()
    write_video(tmp_path / "unused.mp4", [np.zeros((64, 64, 3), np.uint8)] * 2)
    guesses = guess_roles(pair_recordings(videos, find_recordings(tmp_path).logs))
    assert [guess.role for guess in guesses.recordings] == [Role.SCENE, Role.TEST]


def test_names_and_classes():
    assert recording_name(Path("Day 2/Liver-Empty.MP4")) == "liver_empty"
    assert recording_name(Path("scene/video.mp4")) == "scene"
    assert recording_name(Path("x/site.mp4")) == "site_recording"
    assert guess_class(["img_1", "needle_driver"]) == "needle driver"
    assert guess_class(["clip applier left"]) == "clip applier"
    assert guess_class(["my hook"]) == "l-hook electrocautery"
    assert guess_class(["sensor 2"]) is None
