"""Every tracker log layout, written by the test and read back, and the real logs."""

import numpy as np
import pytest

from ingest_material import toolbox_header, toolbox_row, tracked_poses, write_toolbox_log
from splatscope.errors import InputError
from splatscope.geometry import invert, matrix_to_quaternion, pose_difference
from splatscope.ingest.tracker_log import TrackerLog
from splatscope.ingest.trackers import read_tracker_log

TIMES = 100 + np.arange(60) / 40


@pytest.fixture
def sensors() -> dict[str, np.ndarray]:
    camera, tool = tracked_poses(TIMES, 100.0, seed=1), tracked_poses(TIMES, 100.0, seed=2)
    camera[[5, 6, 20]] = np.nan
    return {"camera": camera, "needle driver": tool}


def assert_same_poses(found: np.ndarray, expected: np.ndarray, mm: float = 1e-3, deg: float = 1e-3):
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    seen = np.isfinite(expected).all((1, 2))
    distance, angle = pose_difference(found[seen], expected[seen])
    assert distance.max() < mm and angle.max() < deg


@pytest.mark.parametrize("separator", [",", "\t"])
def test_toolbox_with_time(tmp_path, sensors, separator):
    log = read_tracker_log(write_toolbox_log(tmp_path / "log.csv", TIMES, sensors, separator))
    assert log.layout == "ndi-toolbox" and list(log.tracker_from_sensor) == ["camera", "needle driver"]
    np.testing.assert_allclose(log.time_s, TIMES, atol=1e-6)
    for name, poses in sensors.items():
        assert_same_poses(log.tracker_from_sensor[name], poses)
    assert log.statistics()["sensors"]["camera"] == {"valid": 57, "missing": 3}
    assert log.statistics()["rate_hz"] == 40.0


def test_toolbox_old_form_takes_time_from_frame_numbers(tmp_path, sensors):
    header = "Tools,Port 1,Frame,Face,State,Q0,Qx,Qy,Qz,Tx,Ty,Tz,Error"
    rows = [header]
    for index, pose in enumerate(sensors["camera"]):
        frame = 7000 + 2 * index  # every second frame was written
        if np.isnan(pose).any():
            rows.append(f"1,,{frame},0,Missing,,,,,,,,")
        else:
            values = ",".join(f"{v:.6f}" for v in [*matrix_to_quaternion(pose[:3, :3]), *pose[:3, 3]])
            rows.append(f"1,,{frame},0,OK,{values},0.1")
    (tmp_path / "log.csv").write_text("\r\n".join(rows))
    log = read_tracker_log(tmp_path / "log.csv", rate_hz=60)
    assert_same_poses(log.tracker_from_sensor["Port 1"], sensors["camera"])
    np.testing.assert_allclose(np.diff(log.time_s), 2 / 60, atol=1e-9)


def test_toolbox_reads_columns_by_name_markers_and_repeated_names(tmp_path):
    port = "{},Frame,Time [sec],Face,State,Qx,Qy,Qz,Q0,Tx,Ty,Tz,Error,Markers,State,Tx,Ty,Tz,State,Tx,Ty,Tz"
    header = ",".join(["Tools", *(port.format(f"Port 0x0{i}: 610016  s/n:A{i}") for i in (1, 2))])
    cells = "{},{},{:.3f},0,OK,0,0,1,0,10,20,{},0.1,2,OK,1,2,3,Too Few Markers,4,5,6"
    rows = [
        ",".join(["2", *(cells.format(f"Port 0x0{i}: 610016  s/n:A{i}", f, f / 40, 300 + i) for i in (1, 2))])
        for f in range(3)
    ]
    (tmp_path / "log.csv").write_text("\n".join([header, *rows]))
    log = read_tracker_log(tmp_path / "log.csv")
    assert list(log.tracker_from_sensor) == ["610016 s/n:A1", "610016 s/n:A2"]
    np.testing.assert_allclose(log.tracker_from_sensor["610016 s/n:A2"][0, :3, 3], [10, 20, 302])
    np.testing.assert_allclose(log.tracker_from_sensor["610016 s/n:A2"][0, :3, :3], np.diag([-1, -1, 1]), atol=1e-12)


def test_cut_last_row_is_left_out_and_counted(tmp_path, sensors):
    path = write_toolbox_log(tmp_path / "log.csv", TIMES, sensors)
    text = path.read_text()
    path.write_text(text[: text.rstrip().rfind(",Port 0x02")])
    log = read_tracker_log(path)
    assert log.cut_rows == 1 and len(log.time_s) == 59


def test_real_wall_clock_table(shared_data):
    log = read_tracker_log(shared_data / "ndi_aurora_csv" / "NDIdata_snakeravenTest_2_2_21.csv")
    assert log.layout == "ndi-wall-clock" and list(log.tracker_from_sensor) == ["a", "b", "c", "d"]
    assert log.cut_rows == 1 and len(log.time_s) == 158
    assert log.statistics()["sensors"]["c"] == {"valid": 149, "missing": 9}
    np.testing.assert_allclose(log.tracker_from_sensor["a"][2, :3, 3], [102.84, -60.0, -158.25])
    np.testing.assert_allclose(
        matrix_to_quaternion(log.tracker_from_sensor["a"][2, :3, :3]), [0.3615, 0.5409, 0.4234, 0.6304], atol=1e-3
    )


def test_wall_clock_table_passes_midnight(tmp_path):
    header = "Sample:,Hour,Minutes,Seconds,ms,Xa,Ya,Za,qoa,qxa,qya,qza"
    clock = ["23,59,59,900", "23,59,59,950", "0,0,0,0", "0,0,0,50"]
    (tmp_path / "log.csv").write_text(
        "\n".join([header, *(f"{i},{time},100,0,-200,1,0,0,0," for i, time in enumerate(clock))])
    )
    np.testing.assert_allclose(np.diff(read_tracker_log(tmp_path / "log.csv").time_s), 0.05, atol=1e-9)


@pytest.mark.parametrize(
    "name, rows, sensor, missing",
    [
        ("NwirePhantomFreehand", 97, "Stylus", 97),
        ("TransformInterpolationTest", 500, "Probe", 1),
        ("EightLandmarkPointsTrackedForPhantomRegistration", 1000, "Stylus", 0),
        ("fCal_Test_Calibration_3NWires", 188, "Probe", 0),
    ],
)
def test_real_plus_metafiles(shared_data, name, rows, sensor, missing):
    log = read_tracker_log(shared_data / "plus_em_logs" / f"{name}.igs.mha")
    assert log.layout == "plus-metafile" and len(log.time_s) == rows
    assert log.statistics()["sensors"][sensor]["missing"] == missing


def plus_text(sensors, times, naming="{}ToTrackerTransform", end="ElementDataFile = LOCAL\n"):
    lines = ["ObjectType = Image", "NDims = 3", f"DimSize = 1 1 {len(times)}"]
    for index, time in enumerate(times):
        for name, poses in sensors.items():
            seen = np.isfinite(poses[index]).all()
            pose = poses[index] if seen else np.eye(4)
            pose = invert(pose) if naming.startswith("TrackerTo") else pose
            key = f"Seq_Frame{index:04d}_{naming.format(name)}"
            lines.append(f"{key} = {' '.join(f'{v:.9f}' for v in pose.ravel())} ")
            lines.append(f"{key}Status = {'OK' if seen else 'INVALID'}")
        lines.append(f"Seq_Frame{index:04d}_Timestamp = {time:.6f}")
    return "\n".join(lines) + "\n" + end


@pytest.mark.parametrize("naming", ["{}ToTrackerTransform", "TrackerTo{}Transform"])
def test_plus_metafile_both_directions(tmp_path, sensors, naming):
    path = tmp_path / "log.igs.mha"
    path.write_bytes(plus_text({"Camera": sensors["camera"]}, TIMES, naming).encode() + bytes(range(256)))
    assert_same_poses(read_tracker_log(path).tracker_from_sensor["Camera"], sensors["camera"])


def test_plus_header_that_is_cut_loses_its_last_frame(tmp_path, sensors):
    path = tmp_path / "log.mha"
    path.write_text(plus_text({"Camera": sensors["camera"]}, TIMES, end=""))
    log = read_tracker_log(path)
    assert log.cut_rows == 1 and len(log.time_s) == 59


def test_tum_trajectory_in_metres(tmp_path, sensors):
    poses = sensors["needle driver"]
    rows = ["# timestamp tx ty tz qx qy qz qw"]
    for time, pose in zip(TIMES, poses):
        w, x, y, z = matrix_to_quaternion(pose[:3, :3])
        values = [*(pose[:3, 3] / 1000), x, y, z, w]
        rows.append(f"{time:.6f} " + " ".join(f"{value:.9f}" for value in values))
    (tmp_path / "log.txt").write_text("\n".join(rows))
    log = read_tracker_log(tmp_path / "log.txt", unit="m")
    assert log.layout == "tum"
    assert_same_poses(log.tracker_from_sensor["camera"], poses)
    with pytest.raises(InputError, match="tracker_unit: m"):
        read_tracker_log(tmp_path / "log.txt")


def test_poses_are_interpolated_within_gaps_only():
    poses = np.repeat(np.eye(4)[None], 5, 0)
    poses[:, 0, 3] = [0, 1, 2, 3, 4]
    poses[2] = np.nan
    log = TrackerLog("log", "test", np.array([0, 0.1, 0.2, 0.3, 0.4]), {"camera": poses})
    found = log.poses_at("camera", np.array([-0.01, 0.05, 0.2, 0.35, 0.4, 0.41]), max_gap_s=0.15)
    np.testing.assert_allclose(found[[1, 3, 4], 0, 3], [0.5, 3.5, 4])
    assert np.isnan(found[[0, 2, 5]]).all()
    np.testing.assert_allclose(log.poses_at("camera", np.array([0.2]), max_gap_s=0.2)[0, 0, 3], 2)


def test_missing_sensor_lists_those_present(tmp_path, sensors):
    log = read_tracker_log(write_toolbox_log(tmp_path / "log.csv", TIMES, sensors))
    with pytest.raises(InputError, match="'camera', 'needle driver'"):
        log.require("endoscope", "ingest.camera_sensor")
    poses = sensors | {"camera": np.full((60, 4, 4), np.nan)}
    log = read_tracker_log(write_toolbox_log(tmp_path / "log.csv", TIMES, poses))
    with pytest.raises(InputError, match="0 valid poses in 60 rows"):
        log.require("camera", "ingest.camera_sensor")


def test_helper_writes_what_ndi_writes():
    assert toolbox_header(["camera"]) == (
        "Tools,Port 0x01: camera s/n:3E4C8801,Frame,Time [sec],Face,State,Q0,Qx,Qy,Qz,Tx,Ty,Tz,Error"
    )
    assert toolbox_row(7, 1.5, {"camera": None}).count("-3.697314E28") == 7
