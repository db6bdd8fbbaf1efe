"""JSON and YAML: which of ours it is, and what it says."""

from __future__ import annotations

from pathlib import Path

from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.geometry import Camera
from splatscope.inspection.coco import check_coco
from splatscope.inspection.datasets import describe_coco, describe_dataset
from splatscope.inspection.description import Description, plain, wrong_kind
from splatscope.inspection.frames import describe_shard
from splatscope.inspection.models import camera_facts
from splatscope.inspection.tables import describe_parquet

KINDS = {  # by keys that only this kind has
    "evaluation of a proof": ("detection", "segmentation"),
    "record of an ingested recording": ("recording", "clock_offset_s"),
    "record of structure from motion": ("registered", "points"),
    "record of solved poses": ("hand_eye",),
    "record of a trained splat": ("gaussians", "iterations"),
    "record of an extracted tool": ("counts", "tool"),
    "headline figures": ("dataset.frames",),
    "record of a result": ("rule", "sha256", "mtime_ns"),
    "evaluation of a replay": ("psnr_mean",),
}


def describe_json(file: Path) -> Description:
    """Any of the JSON files that stages write; others as keys and values."""
    content = read_json(file)
    if not isinstance(content, dict):
        raise wrong_kind(file, f"a {type(content).__name__}", "a JSON document of keys and values")
    if {"images", "annotations", "categories"} <= content.keys():
        return describe_coco(file, check_coco(content, file))
    if {"schema_version", "sha256", "frames"} <= content.keys() and file.with_suffix(".tar").is_file():
        return describe_shard(file.with_suffix(".tar"))
    if {"files", "counts", "statistics"} <= content.keys():
        return describe_dataset(file.parent)
    if {"dataset", "mode", "cameras"} <= content.keys():
        return _describe_scene_list(file, content)
    if "camera" in content and len(content) <= 2:
        camera = content["camera"]
        return Description("camera", camera_facts(_camera(file, camera)) if camera else {"camera": None})
    kind = next((kind for kind, keys in KINDS.items() if set(keys) <= content.keys()), "JSON document")
    return Description(kind, plain(content))


def describe_yaml(file: Path) -> Description:
    """A configuration, a calibration or a scenario."""
    from splatscope.config.load import load_config, read_yaml
    from splatscope.config.model import Config
    from splatscope.ingest.calibration import read_calibration
    from splatscope.simulate.operation.scenario import load_scenario

    with open(file, "rb") as handle:
        start = handle.read(4096)
    if b"camera_matrix" in start or start.startswith(b"%YAML"):
        return Description("calibration", camera_facts(read_calibration(file).camera))
    content = read_yaml(file)
    if "phases" in content:
        scenario = load_scenario(file)
        return Description("scenario", {"name": scenario.name, "phases": len(content["phases"])} | plain(content))
    if content.keys() and content.keys() <= Config.model_fields.keys():
        changed = load_config(file).model_dump(mode="json", exclude_defaults=True)
        return Description("configuration", {"differs_from_default": plain(changed)})
    try:
        return Description("calibration", camera_facts(read_calibration(file).camera))
    except InputError:
        return Description("YAML document", plain(content))


def _describe_scene_list(file: Path, content: dict) -> Description:
    facts = plain({key: value for key, value in content.items() if key != "cameras"})
    cameras = content["cameras"] if isinstance(content["cameras"], dict) else {}
    facts["cameras"] = {str(name): camera_facts(_camera(file, camera)) for name, camera in cameras.items()}
    table = file.with_suffix(".parquet")
    if not table.is_file():
        return Description("scene list", facts)
    described = describe_parquet(table)
    return Description("scene list", facts | {"table": described.facts}, described.draw)


def _camera(file: Path, content: object) -> Camera:
    names = ("width", "height", "fx", "fy", "cx", "cy")
    try:
        camera = Camera.from_dict(content)
        if not all(isinstance(getattr(camera, name), int | float) for name in names) or min(camera.fx, camera.fy) <= 0:
            raise ValueError(str(content))
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        found = str(error)[:200]
        raise InputError(file, "camera", found=found, expected=", ".join(names), remedy="make it again") from error
    return camera
