"""Bad input to ingest: each gives one InputError that names the file, the place in it, and what to do."""

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from ingest_material import hand_held_video, toolbox_header, toolbox_row, tracked_poses, write_toolbox_log, write_video
from splatscope.config.ingest import IngestConfig
from splatscope.errors import InputError
from splatscope.images import encode_png
from splatscope.ingest import IngestOutputs, ingest_recording, validate_recording
from splatscope.ingest.calibration import read_calibration
from splatscope.ingest.static_mask import read_mask
from splatscope.ingest.trackers import read_tracker_log
from splatscope.ingest.video import read_frames
from splatscope.recordings import Recording, Role

TIMES = np.arange(20) / 40
POSES = tracked_poses(TIMES, 0.0)


def assert_refused(action: Callable, file: Path, *words: str) -> None:
    """`action` raises an InputError about this file whose parts hold the words."""
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert Path(caught.value.file) == file, message
    for word in words:
        assert word in message, f"{word!r} not in:\n{message}"
    assert re.fullmatch(r".+\n  found:    .+\n  expected: .+\n  to mend:  .+", message), message
    assert caught.value.remedy


def toolbox(*, times=TIMES, poses=POSES, header=None, edit: Callable[[list[str]], None] = lambda rows: None) -> str:
    rows = [header or toolbox_header(["camera"])]
    rows += [toolbox_row(100 + i, time, {"camera": pose}) for i, (time, pose) in enumerate(zip(times, poses))]
    edit(rows)
    return "\n".join(rows) + "\n"


def with_cell(row: int, column: str, value: str) -> str:
    """The log with one cell replaced; `row` is the line number in the file."""

    def edit(rows: list[str]) -> None:
        cells = rows[row - 1].split(",")
        cells[rows[0].split(",").index(column)] = value
        rows[row - 1] = ",".join(cells)

    return toolbox(edit=edit)


def delete_row_end(rows: list[str]) -> None:
    rows[6] = rows[6][: len(rows[6]) // 2]


def swap_times(rows: list[str]) -> None:
    rows[5], rows[6] = rows[6], rows[5]


def shift_cells(rows: list[str]) -> None:
    """A cell lost after the face: everything moves left, and the error column is padded."""
    cells = rows[3].split(",")
    rows[3] = ",".join([*cells[:4], *cells[5:], "0"])


def scaled(factor: float) -> np.ndarray:
    poses = POSES.copy()
    poses[:, :3, 3] *= factor
    return poses


def times_with(index: int, value: float) -> np.ndarray:
    times = TIMES.copy()
    times[index] = value
    return times


NOT_UNIT = toolbox_header(["camera"]).replace("Q0,Qx,Qy,Qz,Tx,Ty,Tz", "Tx,Ty,Tz,Q0,Qx,Qy,Qz")
TUM_ROWS = [f"{t:.3f} 0.1 0.2 0.3 0 0 0 1" for t in TIMES]
WALL_CLOCK = "Sample:,Hour,Minutes,Seconds,ms,Xa,Ya,Za,qoa,qxa,qya,qza"

MALFORMED_LOGS = {
    "empty file": ("", ["an empty file"]),
    "blank lines only": ("\n \n", ["an empty file"]),
    "header only": (toolbox(times=[], poses=[]), ["a header and no rows"]),
    "no header": (toolbox(edit=lambda rows: rows.pop(0)), ["row 1", "Port", "header"]),
    "prose": ("Dear colleague,\nthe log is attached.\n", ["row 1", "no header of a known layout", "TUM"]),
    "one row, cut off": (toolbox(edit=lambda rows: rows.__setitem__(slice(2, None), []))[:-60], ["no complete row"]),
    "NaN in a valid sample": (with_cell(5, "Ty", "nan"), ["row 5", "'Ty'", "nan", "missing"]),
    "infinity": (with_cell(5, "Q0", "inf"), ["row 5", "'Q0'", "inf"]),
    "text for a number": (with_cell(7, "Tx", "12,5".replace(",", ";")), ["row 7", "'Tx'", "'12;5'"]),
    "empty cell in a valid sample": (with_cell(7, "Qz", ""), ["row 7", "'Qz'", "an empty cell"]),
    "NDI's bad float marked OK": (with_cell(9, "Tz", "-3.697314E28"), ["row 9", "'Tz'", "Missing"]),
    "translation and rotation swapped": (toolbox(header=NOT_UNIT), ["row 2", "Q0", "length", "column order"]),
    "quaternion not normalised": (with_cell(4, "Qx", "2.0"), ["row 4", "quaternion of length", "length 1"]),
    "units in metres": (toolbox(poses=scaled(0.001)), ["look like metres", "ingest.tracker_unit: m"]),
    "positions beyond the room": (toolbox(poses=scaled(1000)), ["row 2", "within 20 m", "ingest.tracker_unit"]),
    "duplicated time": (toolbox(times=times_with(6, TIMES[5])), ["rows 7 and 8", "the same time twice", "Time [sec]"]),
    "time going backwards": (toolbox(edit=swap_times), ["rows 6 and 7", "backwards"]),
    "time not a number": (with_cell(3, "Time [sec]", "nan"), ["row 3", "Time [sec]", "finite"]),
    "all samples missing": (toolbox(poses=np.full((20, 4, 4), np.nan)), ["'camera': 0", "at least 2 valid"]),
    "row cut in the middle": (toolbox(edit=delete_row_end), ["row 7", "cells", "only a last row may be cut"]),
    "row shifted": (toolbox(edit=shift_cells), ["row 4", "'State'", "shifted"]),
    "Euler angles": (
        toolbox(header=toolbox_header(["camera"]).replace("Q0,Qx,Qy,Qz", "Rz,Ry,Rx,R")),
        ["row 1", "'camera'", "unknown column 'Rz'", "quaternions"],
    ),
    "unknown column": (toolbox(header=toolbox_header(["camera"]) + ",Colour"), ["row 1", "unknown column 'Colour'"]),
    "column twice": (
        toolbox(header=toolbox_header(["camera"]).replace("Qy", "Qx")),
        ["row 1", "a second column 'Qx'"],
    ),
    "no quaternion": (
        "Tools,Port 1,Frame,Face,State,Tx,Ty,Tz\n1,,1,0,OK,1,2,3\n",
        ["row 1", "no column Q0, Qx, Qy, Qz"],
    ),
    "Tools without a port": ("Tools,Frame,State,Q0\n", ["row 1", "Port 0x01"]),
    "wall clock: unknown column": (WALL_CLOCK + ",speed\n1,0,0,0,0,1,2,300,1,0,0,0,5\n", ["row 1", "speed"]),
    "wall clock: row cut in the middle": (
        WALL_CLOCK + "\n1,0,0,0,0,1,2,300\n2,0,0,0,50,1,2,300,1,0,0,0\n",
        ["row 2", "8 cells", "12"],
    ),
    "wall clock: time repeated": (
        WALL_CLOCK + "\n1,0,0,1,50,1,2,300,1,0,0,0\n2,0,0,1,50,1,2,300,1,0,0,0\n",
        ["rows 2 and 3", "the same time twice"],
    ),
    "TUM: scalar first by its own comment": (
        "\n".join(["# timestamp tx ty tz qw qx qy qz", *TUM_ROWS]),
        ["row 1", "quaternion order qw qx qy qz", "scalar last"],
    ),
    "TUM: seven numbers": ("\n".join([TUM_ROWS[0], "0.1 1 2 3 0 0 1", *TUM_ROWS[2:]]), ["row 2", "7 numbers"]),
    "TUM: in metres": ("\n".join(TUM_ROWS), ["look like metres", "ingest.tracker_unit: m"]),
    "PLUS: no transform to the tracker": (
        "ObjectType = Image\nSeq_Frame0000_ProbeToReferenceTransform = 1\nElementDataFile = LOCAL\n",
        ["ProbeToReferenceTransform", "<Tool>ToTrackerTransform"],
    ),
    "PLUS: image without poses": ("ObjectType = Image\nDimSize = 1 1 1\nElementDataFile = LOCAL\n", ["Seq_Frame"]),
    "PLUS: no timestamp": (
        "ObjectType = Image\nSeq_Frame0000_ProbeToTrackerTransform = 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1\n"
        "ElementDataFile = LOCAL\n",
        ["Seq_Frame0000", "no Timestamp"],
    ),
    "PLUS: transposed matrix": (
        "ObjectType = Image\nSeq_Frame0000_ProbeToTrackerTransform = 1 0 0 0 0 1 0 0 0 0 1 0 50 60 70 1\n"
        "Seq_Frame0000_Timestamp = 1\nElementDataFile = LOCAL\n",
        ["row 2", "Seq_Frame0000_ProbeToTrackerTransform", "row by row"],
    ),
    "PLUS: fifteen numbers": (
        "ObjectType = Image\nSeq_Frame0000_ProbeToTrackerTransform = 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0\n"
        "Seq_Frame0000_Timestamp = 1\nElementDataFile = LOCAL\n",
        ["row 2", "15 numbers"],
    ),
}


@pytest.mark.parametrize("content, words", MALFORMED_LOGS.values(), ids=MALFORMED_LOGS)
def test_malformed_tracker_log(tmp_path, content, words):
    path = tmp_path / "tracker.csv"
    path.write_text(content)
    assert_refused(lambda: read_tracker_log(path), path, *words)


def test_binary_or_absent_tracker_log(tmp_path):
    path = tmp_path / "tracker.csv"
    assert_refused(lambda: read_tracker_log(path), path, "no such file", "path")
    path.write_bytes(b"\x89PNG\xff\xfe\x00")
    assert_refused(lambda: read_tracker_log(path), path, "not UTF-8")


MATRIX = [[500, 0, 320], [0, 500, 256], [0, 0, 1]]
GOOD = {"image_width": 640, "image_height": 512, "camera_matrix": MATRIX}
MALFORMED_CALIBRATIONS = {
    "empty": ("c.yaml", "", ["an empty file"]),
    "broken YAML": ("c.yaml", "%YAML:1.0\n---\ncamera_matrix: [1, 2\n", ["YAML"]),
    "broken JSON": ("c.json", "{\n  'camera_matrix': 3}", ["line 2", "JSON"]),
    "a list": ("c.json", "[1, 2]", ["list", "keys and values"]),
    "no matrix": ("c.json", {"image_width": 640, "focal": 500}, ["image_width, focal", "camera_matrix"]),
    "eight numbers": ("c.json", GOOD | {"camera_matrix": [1] * 8}, ["camera_matrix", "8 numbers", "3x3"]),
    "text in the matrix": ("c.json", GOOD | {"camera_matrix": ["a"] * 9}, ["camera_matrix", "finite numbers"]),
    "NaN": (
        "c.yaml",
        "image_width: 640\nimage_height: 512\nK: [.nan, 0, 320, 0, 500, 256, 0, 0, 1]\n",
        ["k", "finite"],
    ),
    "no size": ("c.json", {"camera_matrix": MATRIX}, ["image_width", "add the keys"]),
    "transposed": ("c.json", GOOD | {"camera_matrix": np.transpose(MATRIX).tolist()}, ["camera_matrix", "transposed"]),
    "normalised": ("c.json", GOOD | {"camera_matrix": [0.8, 0, 0.5, 0, 0.9, 0.5, 0, 0, 1]}, ["not in pixels"]),
    "another size": ("c.json", GOOD | {"image_width": 64, "image_height": 51}, ["principal point", "64x51"]),
    "three coefficients": ("c.json", GOOD | {"distortion": [1, 2, 3]}, ["distortion", "3 coefficients", "4, 5 or 8"]),
    "fisheye": ("c.json", GOOD | {"distortion_model": "equidistant"}, ["distortion_model", "'equidistant'", "fisheye"]),
    "COLMAP: two cameras": (
        "cameras.txt",
        "1 PINHOLE 4 4 1 1 2 2\n2 PINHOLE 4 4 1 1 2 2\n",
        ["2 cameras", "one camera"],
    ),
    "COLMAP: no camera": ("cameras.txt", "# Camera list\n", ["0 cameras"]),
    "COLMAP: unknown model": ("cameras.txt", "1 FOV 640 512 1 2 3 4 5\n", ["row 1", "FOV", "OPENCV"]),
    "COLMAP: too few parameters": ("cameras.txt", "1 OPENCV 640 512 500 500 320\n", ["row 1", "OPENCV's fx fy"]),
    "COLMAP: cut binary": ("cameras.bin", struct.pack("<QIiQQd", 1, 1, 1, 640, 512, 500.0), ["bytes", "cameras.bin"]),
    "COLMAP: fisheye binary": ("cameras.bin", struct.pack("<QIiQQ", 1, 1, 5, 640, 512), ["model number 5"]),
    "XML": ("c.xml", "<opencv_storage/>", ["XML", ".yaml"]),
}


@pytest.mark.parametrize("name, content, words", MALFORMED_CALIBRATIONS.values(), ids=MALFORMED_CALIBRATIONS)
def test_malformed_calibration(tmp_path, name, content, words):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert_refused(lambda: read_calibration(path), path, *words)


def noise_images(count: int, width: int = 96, height: int = 64) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (height, width, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize(
    "name, codec, options, keep, words",
    [
        ("v.mp4", "libx264", {}, 0.6, ["does not open as video", "cut off"]),
        ("v.mp4", "libx264", {"movflags": "faststart"}, 0.6, ["of 40 frames readable", "stated end"]),
        ("v.mkv", "libx264", {}, 0.6, ["frames readable", "stated end"]),
        ("v.avi", "mpeg4", {}, 0.6, ["of 40 frames readable"]),
    ],
)
def test_truncated_video(tmp_path, name, codec, options, keep, words):
    path = write_video(tmp_path / name, noise_images(40), codec=codec, **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    assert_refused(lambda: list(read_frames(path)), path, *words)


def test_damaged_video(tmp_path):
    path = write_video(tmp_path / "v.mp4", noise_images(40))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    path.write_bytes(content)
    assert_refused(lambda: list(read_frames(path)), path, "frames readable")


def test_files_that_are_no_video(tmp_path):
    path = tmp_path / "v.mp4"
    assert_refused(lambda: list(read_frames(path)), path, "no such file")
    for content in (b"", b"not a video"):
        path.write_bytes(content)
        assert_refused(lambda: list(read_frames(path)), path, "does not open as video", "ffmpeg")


def test_folders_that_are_no_recording(tmp_path):
    assert_refused(lambda: list(read_frames(tmp_path)), tmp_path, "no image", "video file")
    first, second = tmp_path / "1.png", tmp_path / "2.png"
    first.write_bytes(encode_png(noise_images(1)[0]))
    second.write_bytes(encode_png(noise_images(1, width=80)[0]))
    assert_refused(lambda: list(read_frames(tmp_path)), second, "80x64 after 96x64")
    second.write_bytes(encode_png(noise_images(1)[0])[:-30])
    assert_refused(lambda: list(read_frames(tmp_path)), second, "image")
    second.write_bytes(encode_png(np.zeros((64, 96), np.uint16)))
    assert_refused(lambda: list(read_frames(tmp_path)), second, "uint16", "8 bits")
    second.unlink()
    jpeg = cv2.imencode(".jpg", noise_images(1)[0])[1].tobytes()
    (tmp_path / "2.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    assert_refused(lambda: list(read_frames(tmp_path)), tmp_path / "2.jpg", "image")


def test_malformed_masks(tmp_path):
    path = tmp_path / "mask.png"
    assert_refused(lambda: read_mask(path, 96, 64), path, "ingest.static_mask", "No such file")
    path.write_bytes(encode_png(np.full((64, 80), 255, np.uint8)))
    assert_refused(lambda: read_mask(path, 96, 64), path, "80x64", "96x64", "ingest.static_mask")
    path.write_bytes(encode_png(np.zeros((64, 96), np.uint8)))
    assert_refused(lambda: read_mask(path, 96, 64), path, "no white pixel")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    hand_held_video(folder / "video.mp4", 2.0)
    times = np.arange(0, 3, 1 / 40)
    write_toolbox_log(folder / "tracker.csv", times, {"camera": tracked_poses(times, 0.3)})
    return folder


def job(folder: Path, config: IngestConfig, role: Role = Role.SCENE, name: str = "scene", **files: Path) -> Callable:
    files = {"video": folder / "video.mp4", "tracker": folder / "tracker.csv"} | files
    outputs = IngestOutputs(
        *(folder / "out" / part for part in ("a.tar", "b.parquet", "c.json", "d.png", "e.json", "f.jpg"))
    )
    return lambda: ingest_recording(Recording(name, role, **files), config, outputs)


def test_nothing_is_written_when_the_input_is_refused(recorded):
    config = IngestConfig(camera_sensor="endoscope")
    log = recorded / "tracker.csv"
    assert_refused(job(recorded, config), log, "'endoscope'", "'camera'", "ingest.camera_sensor")
    assert not (recorded / "out").exists()


def test_recordings_that_do_not_fit_the_config(recorded, tmp_path):
    log = recorded / "tracker.csv"
    tool = {"role": Role.TOOL, "name": "grasper"}
    assert_refused(job(recorded, IngestConfig(), **tool), log, "ingest.tool_sensors.grasper", "'camera'")
    config = IngestConfig(tool_sensors={"grasper": "aurora_2"})
    assert_refused(job(recorded, config, **tool), log, "'aurora_2'", "ingest.tool_sensors.grasper")
    calibration = tmp_path / "c.json"
    calibration.write_text(json.dumps(GOOD | {"image_height": 480}))
    assert_refused(job(recorded, IngestConfig(), calibration=calibration), calibration, "640x480", "320x256", "aspect")
    config = IngestConfig(clock_offset_s={"scene": 50.0})
    assert_refused(job(recorded, config), recorded / "video.mp4", "60 no_pose", "tracker's clock", "clock_offset_s")


def test_check_before_any_job(recorded, tmp_path):
    recording = {"name": "scene", "role": Role.SCENE, "video": recorded / "video.mp4"}
    absent = tmp_path / "absent"
    check = lambda **files: lambda: validate_recording(Recording(**(recording | files)), IngestConfig())  # noqa: E731
    check()()
    assert_refused(check(video=absent), absent, "no such file")
    assert_refused(check(tracker=absent), absent, "no such file")
    assert_refused(check(calibration=tmp_path / "c.yaml"), tmp_path / "c.yaml", "no such file")
    assert_refused(check(calibration=tmp_path / "board.mp4"), tmp_path / "board.mp4", "no such file")
    assert_refused(check(poses=absent), absent, "no such file or folder")
