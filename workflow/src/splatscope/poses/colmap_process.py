"""COLMAP in a process of its own: `python -m splatscope.poses.colmap_process JOB.json`.

pycolmap's libraries clash with those of Pillow and OpenCV when a PNG is written after the import, so nothing here
imports either, and nothing else imports pycolmap. Everything runs on one thread: RANSAC and bundle adjustment give
other bytes on other numbers of threads.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys
import time
from pathlib import Path

import numpy as np

from splatscope.poses.pairs import all_pairs, pairs_by_appearance

LOCALISE_ERROR_PX = 4.0
MIN_LOCALISE_INLIERS = 20
MAX_RANSAC_TRIALS = 1000  # pairs that do not overlap would otherwise run ten times as long to no end


def main(job_file: str) -> None:
    """Run the job described in `job_file`; leaves a COLMAP model and `statistics.json` in its output folder."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no orphan goes on computing
    import pycolmap

    pycolmap.logging.minloglevel = 2
    job = json.loads(Path(job_file).read_text())
    pycolmap.set_random_seed(job["seed"])
    clock = _Clock()
    database = Path(job["folder"]) / "database.db"
    _extract(pycolmap, job, database)
    clock.done("features")
    _match(pycolmap, job, database)
    clock.done("matching")
    run = _reconstruct if job["poses"] is None else _triangulate
    model = run(pycolmap, job, database)
    clock.done("mapping")
    output = Path(job["output"])
    if model is not None:
        model.write_binary(output)
    (output / "statistics.json").write_text(json.dumps(_statistics(model) | {"seconds": clock.seconds}))


class _Clock:
    def __init__(self):
        self.start, self.cpu_start, self.seconds = time.perf_counter(), time.process_time(), {}

    def done(self, step: str) -> None:
        now, cpu_now = time.perf_counter(), time.process_time()
        self.seconds[step] = round(now - self.start, 1)
        print(f"{step}: {self.seconds[step]} s ({cpu_now - self.cpu_start:.1f} s of processor time)", flush=True)
        self.start, self.cpu_start = now, cpu_now


def _extract(pycolmap, job: dict, database: Path) -> None:
    options = pycolmap.FeatureExtractionOptions(num_threads=1, use_gpu=False)
    options.sift.max_num_features = job["max_features"]
    options.sift.first_octave = job["first_octave"]
    options.sift.peak_threshold = job["peak_threshold"]
    camera_ids: dict[str, int] = {}  # recordings of one camera share it
    for recording in job["recordings"]:
        reader = pycolmap.ImageReaderOptions(camera_model=recording["camera_model"])
        if recording["camera_params"]:
            reader.camera_params = ",".join(repr(value) for value in recording["camera_params"])
        if recording["mask"]:
            reader.camera_mask_path = recording["mask"]
        identity = recording["camera_identity"]
        if identity in camera_ids:
            reader.existing_camera_id = camera_ids[identity]
        pycolmap.extract_features(
            database,
            Path(job["images"]),
            image_names=recording["image_names"],
            camera_mode=pycolmap.CameraMode.SINGLE,
            reader_options=reader,
            extraction_options=options,
            device=pycolmap.Device.cpu,
        )
        if identity not in camera_ids:
            with pycolmap.Database.open(database) as opened:
                camera_ids[identity] = max(camera.camera_id for camera in opened.read_all_cameras())


def _match(pycolmap, job: dict, database: Path) -> None:
    names = [name for recording in job["recordings"] for name in recording["image_names"]]
    builds = np.array([recording["builds"] for recording in job["recordings"] for _ in recording["image_names"]])
    if job["pairs"] is not None:
        pairs = np.array(job["pairs"]).reshape(-1, 2)
    elif len(names) <= job["exhaustive_limit"]:
        pairs = all_pairs(builds)
    else:
        pairs = pairs_by_appearance(_sketches(pycolmap, database, names), builds, job["neighbours"])
    print(f"{len(names)} images, {len(pairs)} pairs", flush=True)
    match_list = Path(job["folder"]) / "pairs.txt"
    match_list.write_text("".join(f"{names[i]} {names[j]}\n" for i, j in pairs))
    verification = pycolmap.TwoViewGeometryOptions(detect_watermark=False)
    verification.ransac.max_num_trials = MAX_RANSAC_TRIALS
    verification.ransac.random_seed = job["seed"]
    pycolmap.match_image_pairs(
        database,
        matching_options=pycolmap.FeatureMatchingOptions(num_threads=1, use_gpu=False),
        pairing_options=pycolmap.ImportedPairingOptions(match_list_path=match_list),
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )


def _sketches(pycolmap, database: Path, names: list[str]) -> list[np.ndarray]:
    sketches = []
    with pycolmap.Database.open(database) as opened:
        ids = {image.name: image.image_id for image in opened.read_all_images()}
        for name in names:
            descriptors = opened.read_descriptors(ids[name]).data.astype(np.float32)
            keypoints = opened.read_keypoints(ids[name])  # [F, 6]: x, y and the affine shape a11, a12, a21, a22
            coarsest_first = np.argsort(-np.hypot(keypoints[:, 2], keypoints[:, 4]), kind="stable")
            descriptors = descriptors[coarsest_first]
            sketches.append(descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-9))
    return sketches


def _pipeline_options(pycolmap, job: dict):
    options = pycolmap.IncrementalPipelineOptions(num_threads=1, random_seed=job["seed"])
    options.mapper.num_threads = 1
    options.mapper.random_seed = job["seed"]
    options.triangulation.random_seed = job["seed"]
    options.min_model_size = 3  # a small model is reported as such, not as none
    options.max_num_models = 5
    # adjusting less often and less far than COLMAP's defaults halves the time at equal accuracy
    options.ba_global_frames_ratio = options.ba_global_points_ratio = 2.0
    options.ba_global_max_refinements, options.ba_local_max_refinements = 2, 1
    options.ba_global_max_num_iterations, options.ba_local_max_num_iterations = 20, 6
    options.ba_global_function_tolerance = options.ba_local_function_tolerance = 1e-5
    options.mapper.ba_local_num_images = 4
    options.mapper.ba_global_ignore_redundant_points3D = True
    options.ba_refine_focal_length = options.ba_refine_extra_params = job["refine_intrinsics"]
    options.mapper.abs_pose_refine_focal_length = job["refine_intrinsics"]
    options.mapper.abs_pose_refine_extra_params = job["refine_intrinsics"]
    return options


def _reconstruct(pycolmap, job: dict, database: Path):
    """Build the model from what stands still, then find the cameras of the images with something moving in it."""
    options = _pipeline_options(pycolmap, job)
    options.image_names = [
        name for recording in job["recordings"] if recording["builds"] for name in recording["image_names"]
    ]
    folder = Path(job["folder"]) / "models"
    folder.mkdir()
    models = pycolmap.incremental_mapping(database, Path(job["images"]), folder, options=options)
    sizes = {index: model.num_reg_images() for index, model in sorted(models.items())}
    if not sizes:
        return None
    if len(sizes) > 1:
        print(f"COLMAP made {len(sizes)} separate models of {list(sizes.values())} images", flush=True)
    model = models[max(sizes, key=lambda index: (sizes[index], -index))]
    _adjust(pycolmap, model, job, database)
    _localise(pycolmap, model, job, database)
    return model


def _adjust(pycolmap, model, job: dict, database: Path) -> None:
    """Adjust, complete, merge and filter the whole model until it stays as it is: the mapper's few short adjustments
    can leave it bent where none of its points is an outlier."""
    options = pycolmap.IncrementalPipelineOptions(num_threads=1, random_seed=job["seed"])
    options.ba_refine_focal_length = options.ba_refine_extra_params = job["refine_intrinsics"]
    names = {model.image(index).name for index in model.reg_image_ids()}
    with pycolmap.Database.open(database) as opened:
        cache = pycolmap.DatabaseCache.create(opened, pycolmap.DatabaseCacheOptions(image_names=names))
    mapper = pycolmap.IncrementalMapper(cache)
    mapper.begin_reconstruction(model)
    mapper.iterative_global_refinement(
        options.ba_global_max_refinements,
        options.ba_global_max_refinement_change,
        options.get_mapper(),
        options.get_global_bundle_adjustment(),
        options.get_triangulation(),
    )
    mapper.end_reconstruction(discard=False)


def _localise(pycolmap, model, job: dict, database: Path) -> None:
    """Add the images that did not build the model, each placed alone by its matches with the model's points."""
    builders = {model.image(index).name: model.image(index) for index in model.reg_image_ids()}
    partners: dict[str, list[str]] = {}
    for line in (Path(job["folder"]) / "pairs.txt").read_text().splitlines():
        first, second = line.split(" ")
        partners.setdefault(first, []).append(second)
        partners.setdefault(second, []).append(first)
    estimation = pycolmap.AbsolutePoseEstimationOptions()
    estimation.ransac.max_error, estimation.ransac.random_seed = LOCALISE_ERROR_PX, job["seed"]
    with pycolmap.Database.open(database) as opened:
        images = {image.name: image for image in opened.read_all_images()}
        for recording in job["recordings"]:
            for name in [] if recording["builds"] else recording["image_names"]:
                image = images[name]
                matches: set[tuple[int, int]] = set()
                for partner in partners.get(name, []):
                    if partner in builders:
                        points = builders[partner].points2D
                        pairs = opened.read_two_view_geometry(image.image_id, images[partner].image_id).inlier_matches
                        matches |= {(int(i), points[j].point3D_id) for i, j in pairs if points[j].has_point3D()}
                if len(matches) < MIN_LOCALISE_INLIERS:
                    continue
                keypoints = opened.read_keypoints(image.image_id)[:, :2]
                ordered = sorted(matches)
                found = pycolmap.estimate_and_refine_absolute_pose(
                    np.array([keypoints[i] for i, _ in ordered], np.float64),
                    np.array([model.point3D(identity).xyz for _, identity in ordered]),
                    model.camera(image.camera_id),
                    estimation,
                )
                if found is not None and found["num_inliers"] >= MIN_LOCALISE_INLIERS:
                    model.add_image_with_trivial_frame(image, found["cam_from_world"])


def _triangulate(pycolmap, job: dict, database: Path):
    """Points from the known poses `job["poses"]` {image name: camera_from_world, 3 rows}."""
    model = pycolmap.Reconstruction()
    with pycolmap.Database.open(database) as opened:
        for camera in opened.read_all_cameras():
            model.add_camera_with_trivial_rig(camera)
        for image in sorted(opened.read_all_images(), key=lambda image: image.image_id):
            if image.name in job["poses"]:
                matrix = np.array(job["poses"][image.name])
                pose = pycolmap.Rigid3d(pycolmap.Rotation3d(matrix[:, :3]), matrix[:, 3])
                model.add_image_with_trivial_frame(image, pose)
    folder = Path(job["folder"]) / "models"
    folder.mkdir()
    options = _pipeline_options(pycolmap, job)
    options.fix_existing_frames = True
    return pycolmap.triangulate_points(model, database, Path(job["images"]), folder, options=options)


def _statistics(model) -> dict:
    if model is None:
        return {"registered_images": [], "points": 0, "mean_reprojection_error_px": None, "mean_track_length": None}
    names = sorted(model.image(index).name for index in model.reg_image_ids())
    points = model.num_points3D()
    return {
        "registered_images": names,
        "points": points,
        "mean_reprojection_error_px": float(model.compute_mean_reprojection_error()) if points else None,
        "mean_track_length": float(model.compute_mean_track_length()) if points else None,
    }


if __name__ == "__main__":
    main(sys.argv[1])
