"""Every parser of what users bring: how it is called on a file, and small valid files to begin with."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from mutations import (
    Mutation,
    mutate_binary,
    mutate_json,
    mutate_png,
    mutate_safetensors,
    mutate_tar,
    mutate_text,
    mutate_yaml,
)


@dataclass(frozen=True)
class Parser:
    """One parser. `read` gets the path of a file that holds the bytes, named `file`, in a folder of its own."""

    file: str
    read: Callable[[Path], object]
    seeds: list[bytes]  # each is read without an error
    mutate: Mutation


TRACKER_TIMES = np.arange(3) / 40
MATRIX = [[500, 0, 320], [0, 500, 256], [0, 0, 1]]
CALIBRATION = {
    "image_width": 640,
    "image_height": 512,
    "camera_matrix": MATRIX,
    "distortion_coefficients": [0.1, 0, 0, 0],
}


def _tracker(file: str, *seeds: str) -> Parser:
    from splatscope.ingest.trackers import read_tracker_log

    return Parser(file, read_tracker_log, [seed.encode() for seed in seeds], mutate_text)


def tracker_toolbox() -> Parser:
    def log(separator: str, port: str, time: str) -> str:
        columns = ["Face", "State", "Q0", "Qx", "Qy", "Qz", "Tx", "Ty", "Tz", "Error", "Markers"]
        header = ["Tools", f"{port}1: camera s/n:3B", "Frame", *([time] if time else []), *columns]
        header += [f"{port}2: tool s/n:3C", "Frame", *([time] if time else []), *columns]
        rows = [header]
        for index, seconds in enumerate(TRACKER_TIMES):
            clock = [f"{seconds:.4f}"] if time else []
            state = ["0", "OK", "1", "0", "0", "0", "12.5", "-30", f"{200 + index}", "0.1", "0"]
            lost = ["0", "Missing", *["-3.697314E28"] * 8, "0"]
            frame = str(100 + index)
            rows.append(["2", "1", frame, *clock, *state, "2", frame, *clock, *(lost if index == 1 else state)])
        return "\n".join(separator.join(row) for row in rows)

    old = "Tools,Port 1,Frame,Face,State,Q0,Qx,Qy,Qz,Tx,Ty,Tz,Error\n"
    old += "".join(f"1,,{n},0,OK,0.7071,0.7071,0,0,1,2,{n}00,0.1\n" for n in (1, 2, 3))
    return _tracker("t.csv", log(",", "Port 0x0", "Time [sec]"), log("\t", "Port 0x0", ""), old)


def tracker_wall_clock() -> Parser:
    header = "Sample:,Hour,Minutes,Seconds,ms,Xa,Ya,Za,qoa,qxa,qya,qza,Xb,Yb,Zb,qob,qxb,qyb,qzb"
    rows = [f"{n},23,59,59,{n}00,1,2,300,1,0,0,0,{'0,' * 7 if n == 2 else '4,5,600,0,1,0,0,'}" for n in (1, 2, 3)]
    midnight = "4,0,0,0,0,1,2,300,1,0,0,0,4,5,600,0,1,0,0"
    return _tracker("t.csv", "\n".join(["some title", header, *rows, midnight]))


def tracker_tum() -> Parser:
    rows = [f"{t:.3f} 12.5 0.2 {300 + t} 0 0 0 1" for t in TRACKER_TIMES]
    return _tracker("t.txt", "\n".join(["# timestamp tx ty tz qx qy qz qw", *rows]))


def tracker_plus() -> Parser:
    lines = ["ObjectType = Image", "NDims = 3", "DimSize = 4 4 2"]
    for frame in (0, 1):
        key = f"Seq_Frame{frame:04d}_"
        lines += [f"{key}ProbeToTrackerTransform = 1 0 0 {frame} 0 1 0 20 0 0 1 300 0 0 0 1"]
        lines += [f"{key}ProbeToTrackerTransformStatus = OK", f"{key}Timestamp = {345 + frame}.5"]
        lines += [f"{key}TrackerToStylusTransform = 0 1 0 {frame} -1 0 0 20 0 0 1 300 0 0 0 1"]
    return _tracker("t.mha", "\n".join([*lines, "ElementDataFile = LOCAL", "\x00\x01"]))


def _calibration(file: str, mutate: Mutation, *seeds: bytes) -> Parser:
    from splatscope.ingest.calibration import read_calibration

    return Parser(file, read_calibration, list(seeds), mutate)


def calibration_yaml() -> Parser:
    opencv = (
        "%YAML:1.0\n---\nimage_width: 640\nimage_height: 512\ncamera_matrix: !!opencv-matrix\n   rows: 3\n   cols: 3\n"
        "   dt: d\n   data: [ 500., 0., 320., 0., 500., 256., 0., 0., 1. ]\ndistortion_coefficients: [0.1, 0, 0, 0]\n"
    )
    ros = "image_size: [640, 512]\ndistortion_model: plumb_bob\nK: [500, 0, 320, 0, 500, 256, 0, 0, 1]\n"
    return _calibration("c.yaml", mutate_yaml, opencv.encode(), ros.encode())


def calibration_json() -> Parser:
    size = {"image_size": {"width": 640, "height": 512}, "mtx": {"data": [500, 0, 320, 0, 500, 256, 0, 0, 1]}}
    return _calibration("c.json", mutate_json, json.dumps(CALIBRATION).encode(), json.dumps(size).encode())


def calibration_colmap() -> Parser:
    """The first byte says whether the rest is cameras.bin or cameras.txt."""
    from splatscope.ingest.calibration import read_calibration

    def read(path: Path):
        content = path.read_bytes()
        named = path.with_name("cameras.bin" if content[:1] < b"\x80" else "cameras.txt")
        named.write_bytes(content[1:])
        return read_calibration(named)

    binary = struct.pack("<QIiQQ8d", 1, 1, 4, 640, 512, 500, 500, 320, 256, 0.1, 0, 0, 0)
    text = b"# cameras\n1 PINHOLE 640 512 500 500 320 256\n"
    return Parser("c", read, [b"\0" + binary, b"\xff" + text], _either_kind)


def _either_kind(content: bytes, random) -> bytes:
    change = mutate_binary if content[:1] < b"\x80" or random.random() < 0.1 else mutate_text
    return content[:1] + change(content[1:], random)


def recordings() -> Parser:
    from splatscope.recordings import read_recordings

    rows = ["name\trole\tvideo\ttracker\tcalibration\tposes", "site_1\tbackground\tmade/a.mp4\tmade/a.csv\t-\t"]
    rows += ["tool_1\ttool\tmade/b.mp4\t-\tmade/c.yaml\t-", "# a comment", "scene\tscene\t/dev\t\t\t-"]
    seeds = ["\n".join(rows).encode()]
    return Parser("r.tsv", lambda path: read_recordings(path, made_here="made"), seeds, mutate_text)


def _splat(count: int, ascii_format: bool, degree: int = 0, light: bool = False) -> bytes:
    from plyfile import PlyData, PlyElement

    names = ["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2"]
    names += [f"f_rest_{index}" for index in range(3 * ((degree + 1) ** 2 - 1))]
    names += ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    names += [f"light_{index}" for index in range(3)] * light
    rows = np.ones(count, [(name, "<f4") for name in names] + [("label", "u1")])
    file = io.BytesIO()
    PlyData([PlyElement.describe(rows, "vertex")], text=ascii_format, byte_order="<").write(file)
    return file.getvalue()


def gaussians() -> Parser:
    from splatscope.splats.gaussians import read_ply

    seeds = [_splat(2, False), _splat(1, True), _splat(1, False, degree=1, light=True)]
    return Parser("m.ply", read_ply, seeds, _header_or_body)


def _header_or_body(content: bytes, random) -> bytes:
    """Of files that are a header of text and binary data."""
    return (mutate_text if random.random() < 0.6 else mutate_binary)(content, random)


CORNERS = np.array([[0, 0, 0], [20, 0, 0], [0, 20, 0], [0, 0, 20.0]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def _mesh(seeds: dict[str, bytes]) -> Parser:
    """The first byte says which format the rest is in."""
    from splatscope.meshes.mesh_files import read_mesh_file

    suffixes = list(seeds)

    def read(path: Path):
        content = path.read_bytes()
        named = path.with_name(f"mesh{suffixes[(content[0] if content else 0) % len(suffixes)]}")
        named.write_bytes(content[1:])
        return read_mesh_file(named)

    def mutate(content: bytes, random) -> bytes:
        return content[:1] + _header_or_body(content[1:], random)

    return Parser("m", read, [bytes([index]) + seed for index, seed in enumerate(seeds.values())], mutate)


def mesh_surface() -> Parser:
    import trimesh

    body = trimesh.Trimesh(CORNERS, FACES, process=False)
    seeds = {f".{kind}": body.export(file_type=kind) for kind in ("stl", "ply", "obj", "off", "glb")}
    seeds |= {".PLY": body.export(file_type="ply", encoding="ascii"), ".STL": body.export(file_type="stl_ascii")}
    return _mesh({suffix: seed.encode() if isinstance(seed, str) else seed for suffix, seed in seeds.items()})


def mesh_volume() -> Parser:
    import tempfile

    import meshio

    seeds = {}
    tetrahedra = meshio.Mesh(CORNERS, [("tetra", np.array([[0, 1, 2, 3]]))])
    mesh = meshio.Mesh(CORNERS, [*tetrahedra.cells, ("triangle", FACES)])
    kinds = {".vtk": {}, ".vtu": {}, ".msh": {"file_format": "gmsh"}, ".mesh": {}, ".inp": {}}
    kinds |= {".VTK": {"binary": False, "file_format": "vtk"}, ".MSH": {"binary": False, "file_format": "gmsh"}}
    with tempfile.TemporaryDirectory() as folder:
        for suffix, options in kinds.items():
            path = Path(folder, f"m{suffix}")
            (tetrahedra if suffix.lower() == ".msh" else mesh).write(path, **options)
            seeds[suffix] = path.read_bytes()
    points = "".join(f"{x} {y} {z} {index}\n" for index, (x, y, z) in enumerate(CORNERS))
    seeds[".su2"] = f"NDIME= 3\nNELEM= 1\n10 0 1 2 3 0\nNPOIN= 4\n{points}NMARK= 0\n".encode()
    seeds[".Msh"] = b"$NOD\n4\n1 0 0 0\n2 20 0 0\n3 0 20 0\n4 0 0 20\n$ENDNOD\n$ELM\n1\n1 4 1 1 4 1 2 3 4\n$ENDELM\n"
    return _mesh(seeds)


def _colmap(suffix: str, mutate: Mutation, files: dict[str, bytes]) -> Parser:
    """The first byte says which of the model's three files the rest is; the other two are sound."""
    from splatscope.poses.colmap_import import import_colmap

    def read(path: Path):
        content = path.read_bytes()
        changed = list(files)[(content[0] if content else 0) % 3]
        for name, sound in files.items():
            path.with_name(name + suffix).write_bytes(content[1:] if name == changed else sound)
        return import_colmap(path.parent)

    def mutated(content: bytes, random) -> bytes:
        return content[:1] + mutate(content[1:], random)

    return Parser("m", read, [bytes([index]) + content for index, content in enumerate(files.values())], mutated)


def colmap_binary() -> Parser:
    point2d = struct.pack("<2dq", 1, 2, 7)
    images = [struct.pack("<I7dI", n, 1, 0, 0, 0, n, 2, 3, 1) + b"a%d.png\0" % n for n in (1, 2)]
    files = {
        "cameras": struct.pack("<QIiQQ4d", 1, 1, 1, 64, 48, 50, 50, 32, 24),
        "images": struct.pack("<Q", 2) + b"".join(image + struct.pack("<Q", 1) + point2d for image in images),
        "points3D": struct.pack("<QQ3d3BdQII", 1, 7, 1, 2, 3, 255, 0, 9, 0.5, 1, 1, 0),
    }
    return _colmap(".bin", mutate_binary, files)


def colmap_text() -> Parser:
    files = {
        "cameras": b"# list\n1 SIMPLE_RADIAL 64 48 50 32 24 0.1\n2 PINHOLE 64 48 50 50 32 24\n",
        "images": b"# list\n1 1 0 0 0 1 2 3 1 a 1.png\n1 2 7\n2 0 1 0 0 1 2 3 2 b.png\n\n",
        "points3D": b"# list\n7 1 2 3 255 0 9 0.5 1 0\n8 -1 2e0 3 25 0 9 0.5 1 0\n",
    }
    return _colmap(".txt", mutate_text, files)


def transforms() -> Parser:
    from splatscope.poses.transforms_import import import_transforms

    pose = [[1, 0, 0, 1], [0, 0, -1, 2], [0, 1, 0, 3], [0, 0, 0, 1]]
    frames = [{"file_path": f"images/{n}.png", "transform_matrix": pose} for n in (1, 2)]
    shared = {"w": 64, "h": 48, "fl_x": 50.0, "cx": 32, "cy": 24, "k1": 0.1, "camera_model": "OPENCV", "frames": frames}
    own = {
        "frames": [frames[0] | {"w": 64, "h": 48, "camera_angle_x": 0.9}, {**frames[1], "transform_matrix": pose[:3]}]
    }
    seeds = [json.dumps(content).encode() for content in (shared, own)]
    return Parser("transforms.json", import_transforms, seeds, mutate_json)


@cache
def _shard(all_maps: bool, count: int = 2) -> bytes:
    import tempfile

    from splatscope.shards import Frame, write_shard

    maps = {
        "class_map": np.ones((3, 4), np.uint8),
        "depth_mm": np.full((3, 4), 80, np.float32),
        "flow_forward": np.zeros((3, 4, 3), np.float32),
        "surface_points": np.zeros((3, 4, 4), np.float32),
    }
    frames = [
        Frame(f"{n:06d}", np.full((3, 4, 3), 40 * n, np.uint8), {"frame": n}, **(maps if all_maps else {}))
        for n in range(count)
    ]
    with tempfile.TemporaryDirectory() as folder:
        write_shard(Path(folder, "s.tar"), frames)
        content = Path(folder, "s.tar").read_bytes()
    return content.rstrip(b"\0") + bytes(1024)


def shard() -> Parser:
    from splatscope.shards import read_shard

    return Parser("s.tar", lambda path: list(read_shard(path)), [_shard(False), _shard(True, 1)], mutate_tar)


def shard_manifest() -> Parser:
    from splatscope.files import sha256
    from splatscope.shards import verify_shard

    content = _shard(False)
    digest = __import__("hashlib").sha256(content).hexdigest()

    def read(path: Path):
        tar = path.with_suffix(".tar")
        tar.write_bytes(content)
        assert sha256(tar) == digest
        verify_shard(tar)

    manifest = {"schema_version": 1, "sha256": digest, "frames": ["000000", "000001"], "provenance": {}}
    return Parser("s.json", read, [json.dumps(manifest).encode()], mutate_json)


def config() -> Parser:
    from splatscope.config.load import load_config

    seeds = [
        "seed: 3\nsimulate:\n  episodes: 2\n  scenario: cholecystectomy\ncompose:\n  recipe: {frames: 10}\n",
        "ingest:\n  tool_sensors: {needle_driver: tool}\n  static_mask: auto\nproof:\n  annotations: {a: b.json}\n",
        "restyle:\n  loras: [{path: a.safetensors, weight: 0.5}]\n  variants: {x: {gate: {limit: 0.5}}}\n",
    ]
    return Parser("c.yaml", load_config, [seed.encode() for seed in seeds], mutate_yaml)


def scenario() -> Parser:
    from splatscope.simulate.operation.scenario import load_scenario

    text = (
        "name: test\npace: 1.5\ncamera: {oblique_deg: 30}\nphases:\n- name: preparation\n  steps:\n"
        "  - {do: expose, landmark: fundus, pull_mm: [1, 2, 3], meanwhile: true}\n  - {do: clip, count: 2}\n"
        "  - {do: inspect, seconds: 2}\n"
    )
    return Parser("s.yaml", load_scenario, [text.encode()], mutate_yaml)


def coco() -> Parser:
    from splatscope.proof.coco_annotations import CocoAnnotations

    square, table = [1, 0, 3, 0, 3, 2, 1, 2], {"background": 0, "tool": 3}
    frames = _shard(False)

    def read(path: Path):
        tar = path.with_name("frames.tar")
        tar.write_bytes(frames)
        return list(CocoAnnotations(path, table).frames(tar))

    masks = [[square], {"size": [3, 4], "counts": [3, 6, 3]}, {"size": [3, 4], "counts": "363"}]
    documents = [
        {
            "images": [{"id": 1, "file_name": "frames/000000.png", "width": 4, "height": 3}],
            "categories": [{"id": 7, "name": "tool"}],
            "annotations": [{"id": 5, "image_id": 1, "category_id": 7, "bbox": [0, 0, 2, 2], "segmentation": mask}],
        }
        for mask in masks
    ]
    return Parser("a.json", read, [json.dumps(document).encode() for document in documents], mutate_json)


def class_table() -> Parser:
    from splatscope.classes import read_class_table

    return Parser("c.tsv", read_class_table, [b"id\tname\n0\tbackground\n1\tliver\n12\tclip applier\n"], mutate_text)


def _safetensors(tensors: dict[str, np.ndarray], metadata: dict[str, str] | None) -> bytes:
    from safetensors.numpy import save

    return save(tensors, metadata=metadata)


def look() -> Parser:
    from splatscope.restyle.look import load_look

    tensors = {"colours": np.zeros((3, 257), np.float32), "contrast": np.ones(4, np.float32)}
    seed = _safetensors(tensors, {"look": json.dumps({"folder": "a"})})
    return Parser("l.safetensors", load_look, [seed], mutate_safetensors)


def style_features() -> Parser:
    from splatscope.restyle.style_features import load_style_features

    network = SimpleNamespace(name="net", dimensions=3)
    about = json.dumps({"network": "net", "provenance": {"folder": "a"}})
    seed = _safetensors({"features": np.ones((2, 3), np.float16)}, {"style_features": about})
    return Parser("f.safetensors", lambda path: load_style_features(path, network), [seed], mutate_safetensors)


def lora() -> Parser:
    """Names, shapes and metadata of a LoRA against a U-Net of one attention layer; merging is left to the tests."""
    import torch

    from splatscope.restyle.loras import read_lora

    class Unet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.proj_in, self.conv = torch.nn.Linear(3, 2), torch.nn.Conv2d(2, 3, 1)
            self.config = SimpleNamespace(layers_per_block=1, down_block_types=(), up_block_types=())

    parts = {"unet": Unet()}
    halves = {"A": np.ones((1, 3), np.float32), "B": np.ones((2, 1), np.float32)}
    diffusers = {f"unet.proj_in.lora_{half}.weight": value for half, value in halves.items()}
    about = {"unet.r": 1, "unet.lora_alpha": 2, "unet.alpha_pattern": {"proj_in": 1}}
    about["unet.target_modules"] = ["proj_in"]
    kohya = {"lora_unet_proj_in.lora_down.weight": halves["A"], "lora_unet_proj_in.lora_up.weight": halves["B"]}
    kohya["lora_unet_proj_in.alpha"] = np.array(1, np.float32)
    seeds = [_safetensors(diffusers, {"lora_adapter_metadata": json.dumps(about)}), _safetensors(kohya, None)]
    return Parser("l.safetensors", lambda path: read_lora(path, parts), seeds, mutate_safetensors)


def model_card() -> Parser:
    from splatscope.restyle.model_files import model_licence

    seed = b"---\nlicense: other\nlicense_name: mine\ntags: [a, b]\n---\n# A model\n"
    return Parser("README.md", lambda path: model_licence(path.parent), [seed], mutate_yaml)


def image() -> Parser:
    import cv2

    from splatscope.images import decode_image

    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    seeds = [cv2.imencode(suffix, pixels)[1].tobytes() for suffix in (".png", ".jpg", ".bmp", ".tiff")]
    seeds.append(cv2.imencode(".png", pixels.astype(np.uint16) * 900)[1].tobytes())
    return Parser("i.png", lambda path: decode_image(path.read_bytes(), "i.png", with_alpha=True), seeds, mutate_png)


def style_frame() -> Parser:
    from splatscope.restyle.style_training.frames import decode_frame

    return Parser("i.png", lambda path: decode_frame(path.read_bytes(), path), image().seeds[:4], mutate_png)


PARSERS: dict[str, Callable[[], Parser]] = {
    make.__name__: make
    for make in (
        *(tracker_toolbox, tracker_wall_clock, tracker_tum, tracker_plus),
        *(calibration_yaml, calibration_json, calibration_colmap, recordings, class_table),
        *(gaussians, mesh_surface, mesh_volume, colmap_binary, colmap_text, transforms, shard, shard_manifest),
        *(config, scenario, coco, look, style_features, lora, model_card, image, style_frame),
    )
}
