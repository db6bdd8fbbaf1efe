"""A small results tree as the chain leaves it, fabricated from drawings, for tests of the last stages."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
import trimesh
from scipy.spatial.transform import Rotation

from splatscope.annotate import annotate_dataset
from splatscope.checks.stage import CheckOutputs, check_dataset
from splatscope.config.annotate import AnnotateConfig
from splatscope.config.checks import CheckLimits
from splatscope.config.evaluate import EvaluateConfig
from splatscope.evaluate import evaluate_replay, evaluate_truth
from splatscope.evaluate.replay import RealRecording, ReplayOutputs
from splatscope.evaluate.truth import EstimatedFiles, TruthFiles
from splatscope.files import write_bytes, write_json, write_table
from splatscope.geometry import Camera, apply, look_at, make_transform, pose_columns
from splatscope.images import encode_jpeg, encode_png, resize_area
from splatscope.report import ReportInputs
from splatscope.restyle.pictures import COLUMNS, draw_restyling
from splatscope.shards import Frame, write_shard
from splatscope.splats.gaussians import Gaussians, write_ply
from splatscope.summary import SummaryInputs, write_summary

CAMERA = Camera(128, 96, 110.0, 110.0, 64.0, 48.0)
torch.set_num_threads(1)  # small images: more threads only wait for each other
UP = np.array([0, -1.0, 0])
DRIVER, GRASPER = 14, 5
CLASS_TABLE = {"background": 0, "grasper": 5, "needle driver": 14, "ignore": 255}


def tissue(index: int, width: int = 128, height: int = 96, sharp: float = 1.0) -> np.ndarray:
    """uint8 [H, W, 3]: a reddish texture that drifts with `index`."""
    y, x = np.mgrid[:height, :width] * (128 / width)
    wave = np.sin(0.21 * x + 0.3 * index) + np.sin(0.17 * y - 0.2 * index) + 0.5 * np.sin(0.5 * (x + y)) * sharp
    shade = 0.5 + 0.16 * wave
    return (np.stack([shade * 220, shade * 110, shade * 100], -1)).clip(0, 255).astype(np.uint8)


def tool_masks(index: int, width: int = 128, height: int = 96, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Visible and amodal bool [H, W] of a slanted tool; tissue hides a strip of it. Drawn at 256x192, then reduced."""
    amodal = np.zeros((192, 256), np.uint8)
    tip = np.array([40 + 2 * index % 50 + shift, 40 + index % 20])
    corners = 2 * (tip + np.array([[0, 0], [90, 30], [84, 44], [-4, 9]]))
    cv2.fillPoly(amodal, [corners.round().astype(np.int32)], 1)
    visible = amodal.copy()
    start = int(2 * tip[0] + 44)
    visible[:, start : start + (index % 4) * 10] = 0
    reduced = [resize_area(mask.astype(np.float32), width, height) > 0.5 for mask in (visible, amodal)]
    return reduced[0], reduced[1]


def frame(index: int, recording: str = "scene", *, shift: float = 0.0, second: bool = False, key=None) -> Frame:
    """A rendered frame: the needle driver, and with `second` a small grasper."""
    height, width = CAMERA.height, CAMERA.width
    visible, amodal = tool_masks(index, shift=shift)
    instance = np.where(visible, 1, 0).astype(np.uint8)
    class_map = np.where(visible, DRIVER, 0).astype(np.uint8)
    bits = np.where(amodal, 1, 0).astype(np.uint16)
    rgb = tissue(index, sharp=0.9)
    rgb[visible] = (170, 175, 185)
    world_from_camera = look_at(np.array([0.0, 5 * np.sin(index / 3), -80]), np.zeros(3), UP)
    tools = [("needle_driver", DRIVER, make_transform(np.eye(3), [3.0, index, 10]))]
    if second:
        square = np.zeros((height, width), bool)
        square[10 : 16 + index % 7, 12 : 20 + index % 5] = True
        instance[square], class_map[square] = 2, GRASPER
        bits |= (square.astype(np.uint16)) << 1
        rgb[square] = (90, 95, 100)
        tools.append(("grasper", GRASPER, make_transform(np.eye(3), [1.0, 2, 3])))
    return Frame(
        key or f"{index:06d}",
        rgb,
        {
            "camera": CAMERA.to_dict(),
            "world_from_camera": world_from_camera.tolist(),
            "source": {"recording": recording, "frame": index},
            "instances": [
                {"instance": number, "name": name, "class_id": class_id, "world_from_tool_sensor": pose.tolist()}
                for number, (name, class_id, pose) in enumerate(tools, start=1)
            ],
        },
        class_map=class_map,
        instance_map=instance,
        amodal_bits=bits,
        depth_mm=np.full((height, width), 80, np.float32),
        alpha=np.full((height, width), 255, np.uint8),
    )


def write_real_frames(tar: Path, indices: list[int]) -> Path:
    """ingest's frames.tar: frames of twice the rendered size."""
    frames = []
    for index in indices:
        rgb = tissue(index, 256, 192)
        rgb[tool_masks(index, 256, 192)[0]] = (170, 175, 185)
        frames.append(Frame(f"{index:06d}", rgb, {"frame": index, "time_s": index / 30}))
    write_shard(tar, frames)
    return tar


def write_true_frames(tar: Path, indices: list[int]) -> Path:
    """The phantom's truth shard at video size."""
    frames = []
    for index in indices:
        visible, amodal = tool_masks(index, 256, 192)
        frames.append(
            Frame(
                f"{index:06d}",
                np.zeros((192, 256, 3), np.uint8),
                {},
                class_map=np.where(visible, DRIVER, 2).astype(np.uint8),
                instance_map=visible.astype(np.uint8),
                amodal_bits=amodal.astype(np.uint16),
            )
        )
    write_shard(tar, frames)
    return tar


def write_replay(folder: Path, frames: int, shift: float = 0.0, dataset: str = "replay"):
    """Two rendered shards of every third video frame, the real and true frames, and where the results go."""
    indices = [3 * number for number in range(frames)]
    shards = [folder / f"render/{dataset}/shard_00000{number}.tar" for number in range(2)]
    for number, shard in enumerate(shards):
        write_shard(shard, [frame(index, shift=shift) for index in indices[number::2]])
    video = list(range(indices[-1] + 2))
    valid = np.full((192, 256), 255, np.uint8)
    valid[:4] = 0
    write_png(folder / "ingest/scene/valid.png", valid)
    camera = folder / "poses/scene.camera.json"
    write_json(camera, {"camera": CAMERA.scaled(256, 192).to_dict()})
    recording = RealRecording(
        write_real_frames(folder / "ingest/scene/frames.tar", video),
        folder / "ingest/scene/valid.png",
        write_true_frames(folder / "phantom/truth/scene.tar", video),
        camera,
    )
    out = folder / "evaluate"
    names = [f"{dataset}{suffix}" for suffix in (".parquet", ".csv", ".json", "_best.png", "_worst.png")]
    return shards, {"scene": recording}, ReplayOutputs(*(out / name for name in names))


def write_png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(image))


def tool_mesh() -> trimesh.Trimesh:
    """A shaft along z, a wrist and two jaws that break its symmetry, mm; tip near the origin."""
    shaft = trimesh.creation.cylinder(radius=4, segment=[[0, 0, 20], [0, 0, 70]])
    wrist = trimesh.creation.box([5, 7, 10], make_transform(np.eye(3), [0.5, 0, 15]))
    jaws = [trimesh.creation.box([2.5, 4, 14], make_transform(np.eye(3), [x, 0, 4])) for x in (-2, 2.5)]
    return trimesh.util.concatenate([shaft, wrist, *jaws])


def write_truth(
    folder: Path,
    *,
    hand_eye_shift=(0, 0, 0),
    hand_eye_deg: float = 0.0,
    clock_error_s: float = 0.0,
    camera_shift=(0, 0, 0),
    metric: bool = True,
):
    """The phantom's truth for two recordings and a tool, and estimates that are off by what is asked."""
    sensor_from_camera = make_transform(
        Rotation.from_euler("xyz", [5, 40, 3], degrees=True).as_matrix(), [12.0, 3, -40]
    )
    sensor_from_tool = make_transform(Rotation.from_euler("xyz", [20, -5, 8], degrees=True).as_matrix(), [4.0, -6, -90])
    recordings = ("background", "scene")
    write_json(
        folder / "phantom/truth/truth.json",
        {
            "camera_sensor_from_camera": sensor_from_camera.tolist(),
            "tool_sensor_from_tool": {"needle_driver": sensor_from_tool.tolist()},
            "clock_offset_s": {"background": 0.21, "scene": -0.08},
            "camera": CAMERA.to_dict(),
        },
    )
    mesh = tool_mesh()
    mesh.export(folder / "phantom/truth/needle_driver.ply")
    poses = np.stack([look_at(np.array([i, 4 * np.sin(i), -80.0]), np.zeros(3), UP) for i in range(10)])
    wrong = make_transform(Rotation.from_euler("y", hand_eye_deg, degrees=True).as_matrix(), [0, 0, 0])
    estimate = sensor_from_camera @ wrong
    estimate[:3, 3] += hand_eye_shift
    write_json(
        folder / "poses/poses.json",
        {
            "metric": metric,
            "camera_sensor_from_camera": estimate.tolist() if metric else None,
            "recordings": {"scene": {"clock_shift_s": 0.003}},
        },
    )
    for name, offset in zip(recordings, (0.21, -0.08)):
        write_json(folder / f"ingest/{name}/ingest.json", {"clock_offset_s": offset + clock_error_s})
        columns = {"frame": np.arange(10), "time_s": np.arange(10) / 30}
        write_table(
            folder / f"phantom/truth/{name}.parquet", pd.DataFrame(columns | pose_columns("world_from_camera", poses))
        )
        found = poses.copy()
        found[:, :3, 3] += camera_shift
        found[4] += 5  # not valid, so it does not count
        if not metric:
            found[:, :3, 3] = 0.01 * found[:, :3, 3] + 7
        columns |= pose_columns("world_from_camera", np.where(np.arange(10)[:, None, None] == 4, np.nan, found))
        write_table(folder / f"poses/{name}.parquet", pd.DataFrame(columns | {"valid": np.arange(10) != 4}))
    points, triangles = trimesh.sample.sample_surface(mesh, 4000, seed=2)
    points = points + mesh.face_normals[triangles] * np.random.default_rng(2).normal(0, 0.1, (4000, 1))
    normals = mesh.face_normals[triangles] @ sensor_from_tool[:3, :3].T
    write_tool_splat(folder / "extract/needle_driver/tool.ply", apply(sensor_from_tool, points), normals)
    write_json(
        folder / "extract/needle_driver/extract.json", {"tip_mm": apply(sensor_from_tool, np.zeros((1, 3)))[0].tolist()}
    )
    return (
        EstimatedFiles(
            folder / "poses/poses.json",
            {name: folder / f"poses/{name}.parquet" for name in recordings},
            {name: folder / f"ingest/{name}/ingest.json" for name in recordings},
            {"needle_driver": folder / "extract/needle_driver/tool.ply"},
            {"needle_driver": folder / "extract/needle_driver/extract.json"},
        ),
        TruthFiles(
            folder / "phantom/truth/truth.json",
            {name: folder / f"phantom/truth/{name}.parquet" for name in recordings},
            {"needle_driver": folder / "phantom/truth/needle_driver.ply"},
        ),
    )


def write_tool_splat(path: Path, points: np.ndarray, normals: np.ndarray) -> None:
    """A splat of flat discs at `points` [N, 3], each with its shortest axis along the normal [N, 3]."""
    count = len(points)
    from_z, _ = zip(*(Rotation.align_vectors(normal[None], [[0, 0, 1]]) for normal in normals))
    quaternions = np.stack([rotation.as_quat(scalar_first=True) for rotation in from_z])
    gaussians = Gaussians(
        torch.tensor(points, dtype=torch.float32),
        torch.tensor(quaternions, dtype=torch.float32),
        torch.tensor([[-1.0, -1.0, -4.0]]).repeat(count, 1),
        torch.full((count,), 2.0),
        torch.zeros(count, 1, 3),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_ply(path, gaussians)


def write_results(folder: Path, *, truth: bool = True, scene: bool = True, frames: int = 3) -> ReportInputs:
    """Everything the report reads, as the chain leaves it."""
    estimated, known = write_truth(folder, clock_error_s=0.003)
    if truth:
        evaluate_truth(estimated, known, EvaluateConfig(), folder / "evaluate/truth.json")
    datasets = ["sampled"]
    for dataset, shift in (("replay", 0.0), ("replay_paper", 2.0)) if scene else ():
        shards, recordings, outputs = write_replay(folder, frames, shift, dataset)
        if not truth:
            recordings = {name: replace(recording, truth=None) for name, recording in recordings.items()}
        evaluate_replay(shards, recordings, EvaluateConfig(), outputs)
        datasets.append(dataset)
    shards = [folder / "render/sampled/shard_000000.tar"]
    write_shard(shards[0], [frame(index, second=index % 3 == 0) for index in range(2 * frames)])
    manifest = annotate_dataset(shards, CLASS_TABLE, AnnotateConfig(), folder / "dataset/sampled", name="sampled")
    checked = CheckOutputs(folder / "check/a.json", folder / "check/a.jpg", folder / "check/a.parquet")
    limits = CheckLimits(class_floors={"grasper": 0.9})
    check_dataset(shards, CLASS_TABLE, limits, AnnotateConfig(), checked, dataset="sampled")
    roles = {"background": "background", "needle_driver": "tool"} | ({"scene": "scene"} if scene else {})
    rng = np.random.default_rng(0)
    for number, name in enumerate(roles):
        write_ingest(folder / "ingest" / name, name, roles[name], number)
        count = 40
        residuals = {"residual_mm": rng.gamma(3, 0.15, count), "residual_deg": rng.gamma(3, 0.08, count)}
        table = {"frame": np.arange(count), "time_s": np.arange(count) / 4, "valid": np.ones(count, bool)}
        table |= pose_columns("world_from_camera", [look_at(np.array([0, 0, -80.0]), np.zeros(3), UP)] * count)
        write_table(folder / f"poses/{name}.parquet", pd.DataFrame(table | residuals))
    write_json(
        folder / "poses/poses.json",
        {
            "metric": True,
            "mode": "both",
            "camera_sensor_from_camera": np.eye(4).tolist(),
            "hand_eye": {
                "frames": 76,
                "outliers": 2,
                "translation_sigma_mm": [0.21, 0.18, 0.3],
                "rotation_sigma_deg": [0.1, 0.12, 0.09],
            },
        },
    )
    for group, registered in (("site", 78), ("needle_driver", 40)):
        content = {
            "registered": registered,
            "frames": registered + 2,
            "points": 4321,
            "mean_reprojection_error_px": 0.71,
        }
        write_json(folder / f"sfm/{group}/sfm.json", content)
    for model in ("site", "needle_driver"):
        write_splat(folder / "splat" / model)
        normals = rng.normal(size=(300, 3))
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        write_tool_splat(folder / "splat" / model / "model.ply", 30 * normals, normals)
    counts = [("all", 9000), ("opaque", 8100), ("centre", 3100), ("plane", 2500), ("cluster", 2300)]
    write_json(
        folder / "extract/needle_driver/extract.json",
        {"counts": [{"step": step, "gaussians": count} for step, count in counts], "tip_mm": [0, 0, 0]},
    )
    write_png(folder / "extract/needle_driver/extract.png", np.hstack([tissue(i) for i in range(4)]))
    for dataset in datasets:
        content = {"frames": manifest["counts"]["images"], "rejected": {"tool_pose_invalid": 3}}
        write_json(folder / f"compose/{dataset}.json", content)
    jobs = ("ingest_recording/scene", "train_splat/site", "render_shard/sampled_000000", "solve_poses")
    for number, job in enumerate(jobs):
        write_benchmark(folder / f"benchmarks/{job}.tsv", 12.5 * (number + 1), 1_000_000 + 10 * number)
    benchmarks = [folder / f"benchmarks/{job}.tsv" for job in jobs]
    write_summary(
        SummaryInputs(
            dataset_manifest=folder / "dataset/sampled/manifest.json",
            frame_tables={name: folder / f"ingest/{name}/frames.parquet" for name in roles},
            sfm={group: folder / f"sfm/{group}/sfm.json" for group in ("site", "needle_driver")},
            splats={model: folder / f"splat/{model}/splat.json" for model in ("site", "needle_driver")},
            replay=folder / "evaluate/replay.json" if scene else None,
            replay_paper=folder / "evaluate/replay_paper.json" if scene else None,
            truth=folder / "evaluate/truth.json" if truth else None,
            restyling=write_restyling(folder),
            benchmarks=benchmarks,
        ),
        folder / "summary.json",
    )
    return ReportInputs(
        summary=folder / "summary.json",
        recordings=[{"name": name, "role": role} for name, role in roles.items()],
        ingest={name: folder / "ingest" / name for name in roles},
        sfm={group: folder / f"sfm/{group}/sfm.json" for group in ("site", "needle_driver")},
        poses=folder / "poses",
        splats={model: folder / "splat" / model for model in ("site", "needle_driver")},
        extracts={"needle_driver": folder / "extract/needle_driver"},
        compose={dataset: folder / f"compose/{dataset}.json" for dataset in datasets},
        datasets={"sampled": folder / "dataset/sampled"},
        shards={"sampled": shards},
        restyled={"simulated": folder / "restyle/simulated"},
        checks=[checked.results],
        evaluate=folder / "evaluate",
        benchmarks=benchmarks,
        provenance={"Seed": "0", "Configuration": "sha256 0123456789abcdef"},
    )


def write_restyling(folder: Path) -> Path:
    """Pictures and figures of the restyled dataset "simulated"; its evaluation's file."""
    shards = [folder / "restyled.tar"]
    write_shard(shards[0], [frame(index) for index in range(4)])
    draw_restyling(
        shards, shards, folder / "restyle/simulated/before_after.jpg", folder / "restyle/simulated/before_after.mp4"
    )
    rows = [
        {
            "variant": variant,
            "frames": 70 - number,
            "dropped_fraction": number / 70,
            "miou": 0.8 - 0.02 * number,
            "miou_ratio": 1 - 0.025 * number,
            "warp_error": 0.02 + 0.01 * number,
            "style_distance": 2.0 - 0.4 * number,
        }
        for number, variant in enumerate(("raw", "default", "gate_off", "per_frame"))
    ]
    figures = {
        "model": "mini",
        "licence": "apache-2.0",
        "frames": 190,
        "dropped": 10,
        "classes": ["liver", "tool"],
        "segmenter": "dilated",
        "style_set": "real frames, 80 frames",
        "strip_columns": COLUMNS,
        "style_distance_name": "kernel distance (a network)",
        "style_remark": "70 and 80 images.",
        "rows": rows,
    }
    write_json(folder / "evaluate/restyle_simulated_proof.json", figures)
    return folder / "evaluate/restyle_simulated_proof.json"


def write_ingest(folder: Path, name: str, role: str, number: int) -> None:
    reasons = (["", "", "", "not_sampled", "not_sampled", "blurred", "duplicate", "no_pose", ""] * 20)[
        : 90 + 7 * number
    ]
    table = {"frame": np.arange(len(reasons)), "reason": reasons, "kept": [reason == "" for reason in reasons]}
    write_table(folder / "frames.parquet", pd.DataFrame(table))
    thumbnails = np.vstack([np.hstack([tissue(6 * row + column) for column in range(6)]) for row in range(2)])
    write_bytes(folder / "thumbnails.jpg", encode_jpeg(thumbnails))
    write_json(
        folder / "ingest.json",
        {
            "recording": name,
            "role": role,
            "video": {"width": 640, "height": 512, "fps": 30.0, "duration_s": len(reasons) / 30},
            "clock_offset_s": 0.2123 - 0.1 * number,
            "clock_offset_uncertainty_s": 0.0021,
            "tracker": {"layout": "NDI CSV", "rate_hz": 40.0},
            "warnings": ["the tracker log's last row is cut off and was left out"] if number == 1 else [],
        },
    )


def write_splat(folder: Path) -> None:
    iterations = np.arange(0, 3001, 100)
    curve = {"iteration": iterations, "psnr_heldout": 30 - 14 / (1 + iterations / 400)}
    curve["count"] = 5000 + 5 * iterations
    write_table(folder / "curve.csv", pd.DataFrame(curve))
    write_json(
        folder / "splat.json",
        {"heldout_psnr_mean": 28.31, "heldout_psnr_std": 1.2, "gaussians": 21034, "iterations": 3000, "seconds": 93.2},
    )
    write_png(folder / "heldout.png", np.vstack([np.hstack([tissue(i, sharp=s) for i in range(5)]) for s in (1, 0.8)]))


def write_benchmark(path: Path, seconds: float, end: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{seconds:.4f}\t0:00:12\t100.0\t{0.8 * seconds:.4f}\n")
    os.utime(path, (end, end))
