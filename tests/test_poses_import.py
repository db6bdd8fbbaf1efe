"""Import of poses that users bring: COLMAP models and nerfstudio transforms.json."""

import json
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from poses_material import make_ingested
from splatscope.errors import InputError
from splatscope.geometry import Camera, invert, look_at, make_transform, matrix_to_quaternion
from splatscope.poses.colmap_import import read_colmap
from splatscope.poses.known_views import load_known_views, match_frames, shared_camera

CAMERA = Camera(640, 512, 600.0, 610.0, 318.0, 255.0, (0.1, -0.05, 0.001, 0.002))


def some_poses(count=4):
    rotations = Rotation.random(count, rng=np.random.default_rng(0)).as_matrix()
    return make_transform(rotations, np.arange(3 * count).reshape(count, 3) * 1.5)


def write_colmap_text(folder, names, world_from_camera, points=3):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.txt").write_text(
        "# Camera list\n7 OPENCV 640 512 600 610 318 255 0.1 -0.05 0.001 0.002\n8 SIMPLE_PINHOLE 100 50 70 50 25\n"
    )
    lines = ["# Image list with two lines of data per image:"]
    for index, (name, pose) in enumerate(zip(names, invert(world_from_camera))):
        numbers = [*matrix_to_quaternion(pose[:3, :3]), *pose[:3, 3]]
        lines += [f"{index + 1} {' '.join(repr(float(n)) for n in numbers)} 7 {name}", "" if index else "10 20 -1"]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    (folder / "points3D.txt").write_text("".join(f"{i} {i} 2.5 -1 255 128 {i} 0.4 1 0 2 3\n" for i in range(points)))
    return folder


def write_colmap_binary(folder, names, world_from_camera):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.bin").write_bytes(
        struct.pack("<QIiQQ8d", 1, 7, 4, 640, 512, 600, 610, 318, 255, 0.1, -0.05, 0.001, 0.002)
    )
    images = struct.pack("<Q", len(names))
    for index, (name, pose) in enumerate(zip(names, invert(world_from_camera))):
        images += struct.pack("<I7dI", index + 1, *matrix_to_quaternion(pose[:3, :3]), *pose[:3, 3], 7)
        images += name.encode() + b"\0" + struct.pack("<Q2dq", 1, 10.0, 20.0, -1)
    (folder / "images.bin").write_bytes(images)
    points = struct.pack("<Q", 2)
    for i in range(2):
        points += struct.pack("<Q3d3BdQ2I", i, i, 2.5, -1, 255, 128, i, 0.4, 1, 1, 2)
    (folder / "points3D.bin").write_bytes(points)
    return folder


def transforms(world_from_camera, names, **intrinsics):
    """The content of a transforms.json; the camera looks along -z of its own axes, as in OpenGL."""
    flip = np.diag([1.0, -1, -1, 1])
    frames = [
        {"file_path": f"images/{name}", "transform_matrix": (pose @ flip).tolist()}
        for name, pose in zip(names, world_from_camera)
    ]
    known = {"fl_x": 600.0, "fl_y": 610.0, "cx": 318.0, "cy": 255.0, "w": 640, "h": 512}
    known |= {"k1": 0.1, "k2": -0.05, "p1": 0.001, "p2": 0.002}
    return {**(intrinsics or known), "frames": frames}


def write_json_file(path, content):
    path.write_text(json.dumps(content))
    return path


NAMES = ["a.png", "b c.png", "c.png", "d.png"]


@pytest.mark.parametrize("kind", ["text", "binary", "transforms"])
def test_poses_and_camera_survive_the_way_in(tmp_path, kind):
    poses = some_poses()
    if kind == "transforms":
        path = write_json_file(tmp_path / "transforms.json", transforms(poses, NAMES))
    else:
        write = write_colmap_text if kind == "text" else write_colmap_binary
        path = write(tmp_path / "model", NAMES, poses)
    known = load_known_views(path)
    assert [view.name.removeprefix("images/") for view in known.views] == NAMES
    np.testing.assert_allclose(np.stack([view.world_from_camera for view in known.views]), poses, atol=1e-9)
    camera = shared_camera(known, 640, 512)
    assert camera.distortion[:4] == CAMERA.distortion
    np.testing.assert_allclose(camera.matrix, CAMERA.matrix)
    half = shared_camera(known, 320, 256)
    assert (half.fx, half.cx, half.width) == (300.0, 159.0, 320)
    if kind != "transforms":
        model = read_colmap(path)
        np.testing.assert_array_equal(model.points[1], [1, 2.5, -1])
        np.testing.assert_array_equal(model.colors[1], [255, 128, 1])


def test_our_reader_agrees_with_pycolmap_on_its_own_files(tmp_path):
    # in a process of its own: pycolmap must not share one with image writers
    import subprocess
    import sys

    script = """
import sys, json, pycolmap, numpy as np
options = pycolmap.SyntheticDatasetOptions(num_rigs=1, num_cameras_per_rig=1, num_frames_per_rig=5, num_points3D=40)
model = pycolmap.synthesize_dataset(options)
model.write_binary(sys.argv[1]); model.write_text(sys.argv[2])
poses = {image.name: image.cam_from_world().matrix().tolist() for image in model.images.values()}
points = sorted(point.xyz.tolist() for point in model.points3D.values())
print(json.dumps([poses, points]))
"""
    folders = tmp_path / "bin", tmp_path / "txt"
    for folder in folders:
        folder.mkdir()
    run = subprocess.run([sys.executable, "-c", script, *map(str, folders)], capture_output=True, text=True, check=True)
    poses, points = json.loads(run.stdout.splitlines()[-1])
    for folder in folders:
        model = read_colmap(folder)
        assert len(model.image_names) == len(poses) == 5
        for name, pose in zip(model.image_names, model.camera_from_world):
            np.testing.assert_allclose(pose[:3], poses[name], atol=1e-9)
        np.testing.assert_allclose(np.array(sorted(model.points.tolist())), points, atol=1e-9)


def test_axes_of_transforms_json(tmp_path):
    # OpenGL's identity looks along -z of the world with +y up; in OpenCV axes y is down and z forward
    frame = {"file_path": "a.png", "transform_matrix": np.eye(4).tolist()}
    path = write_json_file(tmp_path / "transforms.json", {"frames": [frame]})
    pose = load_known_views(path).views[0].world_from_camera
    np.testing.assert_allclose(pose, look_at(np.zeros(3), np.array([0, 0, -1.0]), np.array([0, 1.0, 0])), atol=1e-12)


def test_intrinsics_of_each_frame_and_by_angle(tmp_path):
    content = transforms(some_poses(2), NAMES[:2], w=640, h=512, camera_angle_x=2 * np.arctan(320 / 500))
    content["frames"][1] |= {"fl_x": 501.0, "cx": 322.0}
    known = load_known_views(write_json_file(tmp_path / "transforms.json", content))
    first, second = (view.camera for view in known.views)
    assert first.fx == first.fy == pytest.approx(500) and (first.cx, first.cy) == (320, 256)
    assert (second.fx, second.cx, second.distortion) == (501.0, 322.0, ())
    assert shared_camera(known, 640, 512).fx == pytest.approx(500.5)
    content["frames"][1]["fl_x"] = 700.0
    known = load_known_views(write_json_file(tmp_path / "transforms.json", content))
    with pytest.raises(InputError, match="one camera for the whole recording"):
        shared_camera(known, 640, 512)
    with pytest.raises(InputError, match="aspect ratio"):
        shared_camera(known, 512, 512)


def test_the_fox_photographs_match_their_transforms(shared_data, tmp_path):
    known = load_known_views(shared_data / "fox" / "transforms.json")
    assert len(known.views) == 67
    files = sorted(path.name for path in (shared_data / "fox" / "images").iterdir())
    blank = [np.zeros((64, 36, 3), np.uint8)] * len(files)
    recording = make_ingested(tmp_path, "fox", blank, files=files)
    assert len(match_frames(known, recording)) == 50
    camera = shared_camera(known, 36, 64)
    assert camera.fx == pytest.approx(1375.52 / 30) and camera.distortion[0] == pytest.approx(0.0578421)


def test_frames_of_a_video_match_by_index(tmp_path):
    poses = some_poses(3)
    path = write_json_file(tmp_path / "t.json", transforms(poses, ["000000.png", "000002.jpg", "000009.png"]))
    recording = make_ingested(tmp_path, "clip", [np.zeros((8, 8, 3), np.uint8)] * 3)
    matched = match_frames(load_known_views(path), recording)
    assert sorted(matched) == ["000000", "000002"]
    np.testing.assert_allclose(matched["000002"], poses[1], atol=1e-12)


def mutated(change):
    content = transforms(some_poses(2), NAMES[:2])
    return change(content) or content


def set_matrix(value):
    return lambda content: content["frames"][1].update(transform_matrix=value)


MALFORMED = {
    "no frames": (lambda content: content.pop("frames") and None, "key frames"),
    "empty frames": (lambda content: content.update(frames=[]), "a list of frames"),
    "frames no list": (lambda content: content.update(frames={"a": 1}), "a list of frames"),
    "frame no object": (lambda content: content["frames"].append(3), r"frames\[2\]"),
    "no matrix": (lambda content: content["frames"][1].pop("transform_matrix") and None, "no transform_matrix"),
    "no file": (lambda content: content["frames"][1].pop("file_path") and None, "no file_path"),
    "3 x 3": (set_matrix(np.eye(3).tolist()), "4 rows of 4"),
    "ragged": (set_matrix([[1, 0], [0]]), "no matrix of numbers"),
    "words": (set_matrix([["a"] * 4] * 4), "no matrix of numbers"),
    "NaN": (set_matrix((np.eye(4) * np.nan).tolist()), "NaN or infinite"),
    "scaled": (set_matrix(np.diag([2.0, 2, 2, 1]).tolist()), "off orthonormal"),
    "mirrored": (set_matrix(np.diag([1.0, 1, -1, 1]).tolist()), "reflection"),
    "last row": (set_matrix(np.vstack([np.eye(4)[:3], [1, 2, 3, 1]]).tolist()), "last row"),
    "fisheye": (lambda content: content.update(camera_model="OPENCV_FISHEYE"), "undistort"),
    "text focal": (lambda content: content.update(fl_x="600"), "key fl_x"),
    "negative focal": (lambda content: content.update(fl_x=-600.0, fl_y=-600.0), "focal length"),
    "no width": (lambda content: content.pop("w") and None, "no w"),
    "a list": (lambda content: [1, 2], "key frames"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_transforms(tmp_path, case):
    change, message = MALFORMED[case]
    path = write_json_file(tmp_path / "transforms.json", mutated(change))
    with pytest.raises(InputError, match=message) as error:
        load_known_views(path)
    assert "transforms.json" in str(error.value) and error.value.remedy


def test_broken_json_and_missing_file(tmp_path):
    (tmp_path / "transforms.json").write_text('{"frames": [')
    with pytest.raises(InputError, match="line 1"):
        load_known_views(tmp_path / "transforms.json")
    with pytest.raises(InputError, match="no such file"):
        load_known_views(tmp_path / "absent")


def test_poses_of_other_images_are_refused(tmp_path):
    path = write_json_file(tmp_path / "transforms.json", transforms(some_poses(2), NAMES[:2]))
    recording = make_ingested(tmp_path, "clip", [np.zeros((8, 8, 3), np.uint8)] * 2, files=["x.png", "y.png"])
    with pytest.raises(InputError, match=r"none of them in recording clip.*\n.*such as x.png"):
        match_frames(load_known_views(path), recording)
    content = transforms(some_poses(2), ["left/a.png", "right/a.png"])
    known = load_known_views(write_json_file(tmp_path / "transforms.json", content))
    with pytest.raises(InputError, match="twice"):
        match_frames(known, recording)


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin", "points3D.bin"])
def test_every_truncation_of_a_binary_model_is_refused(tmp_path, name):
    folder = write_colmap_binary(tmp_path / "model", NAMES, some_poses())
    whole = (folder / name).read_bytes()
    for length in range(0, len(whole), 7):
        (folder / name).write_bytes(whole[:length])
        with pytest.raises(InputError, match=name):
            read_colmap(folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("cameras.txt", "OPENCV", "OPENCV_FISHEYE", "undistort"),
        ("cameras.txt", "600 610", "-600 610", "camera 7"),
        ("cameras.txt", "640 512", "640 many", "line 2"),
        ("cameras.txt", "7 OPENCV", "5 OPENCV", "camera 7, which"),
        ("images.txt", "d.png", "", "line 8"),
        ("images.txt", "7 a.png", "7.5 a.png", "line 2"),
        ("points3D.txt", "255", "256", "line 1"),
        ("points3D.txt", "2.5", "two", "line 1"),
    ],
)
def test_malformed_text_models(tmp_path, file, old, new, message):
    folder = write_colmap_text(tmp_path / "model", NAMES, some_poses())
    path = folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        read_colmap(folder)


def test_incomplete_and_empty_models(tmp_path):
    folder = write_colmap_text(tmp_path / "model", [], np.zeros((0, 4, 4)))
    with pytest.raises(InputError, match="without registered images"):
        load_known_views(folder)
    (folder / "points3D.txt").unlink()
    with pytest.raises(InputError, match=r"no points3D\.txt"):
        load_known_views(folder)
    quaternion = write_colmap_text(tmp_path / "other", NAMES, some_poses())
    text = (quaternion / "images.txt").read_text().splitlines()
    words = text[1].split()
    text[1] = " ".join([words[0], "2.0", *words[2:]])
    (quaternion / "images.txt").write_text("\n".join(text))
    with pytest.raises(InputError, match="quaternion of length"):
        read_colmap(quaternion)
