"""Which kind of artefact a path is, by what it holds."""

from __future__ import annotations

from pathlib import Path

from splatscope.errors import InputError
from splatscope.inspection.description import Description, wrong_kind
from splatscope.inspection.origin import describe_origin

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".ts")
LOG_SUFFIXES = (".csv", ".tsv", ".mha", ".txt")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
KNOWN = (
    "a shard (.tar), splat or mesh (.ply), video, tracker log, table (.parquet, .csv), .json, .yaml or image; or the "
)
KNOWN += "folder of a dataset, recording, ingested recording, splat, COLMAP model or of all results"


def describe(path: str | Path) -> Description:
    """What the artefact is, with where it comes from. Raises InputError for what is unknown, damaged or not there."""
    path = Path(path)
    if path.is_dir():
        found = _describe_folder(path)
    elif path.is_file():
        found = _describe_file(path)
    else:
        raise InputError(path, found="no such file or folder", expected=KNOWN, remedy="correct the path")
    return Description(found.kind, found.facts | describe_origin(path), found.draw)


def _describe_folder(folder: Path) -> Description:
    from splatscope.inspection import datasets, models, recordings

    names = {entry.name for entry in folder.iterdir()}
    if {"manifest.json", "annotations.json"} <= names:
        return datasets.describe_dataset(folder)
    if "ingest.json" in names:
        return recordings.describe_ingested(folder)
    if names & {"images.bin", "images.txt"} and names & {"cameras.bin", "cameras.txt"}:
        return models.describe_sparse_model(folder)
    splats = [name for name in ("model.ply", "tool.ply") if name in names]
    if splats:
        return models.describe_splat(folder / splats[0])
    if "digests" in names or "results" in names:
        return datasets.describe_results(folder if "digests" in names else folder / "results")
    videos = [name for name in sorted(names) if name.lower().endswith(VIDEO_SUFFIXES)]
    if videos or any(name.lower().endswith(IMAGE_SUFFIXES) for name in names):
        return recordings.describe_recording(folder, [folder / name for name in videos])
    raise wrong_kind(folder, f"a folder with {', '.join(sorted(names)[:8]) or 'nothing'}", KNOWN)


def _describe_file(file: Path) -> Description:
    from splatscope.inspection import documents, frames, models, recordings, tables

    suffix = file.suffix.lower()
    if suffix == ".tar":
        return frames.describe_shard(file)
    if suffix == ".ply":
        return models.describe_ply(file)
    if suffix in VIDEO_SUFFIXES:
        return recordings.describe_video(file)
    if suffix == ".parquet":
        return tables.describe_parquet(file)
    if suffix == ".json":
        return documents.describe_json(file)
    if suffix in (".yaml", ".yml"):
        return documents.describe_yaml(file)
    if suffix in IMAGE_SUFFIXES:
        return frames.describe_image(file)
    if suffix in LOG_SUFFIXES:
        return tables.describe_text(file)
    raise wrong_kind(file, f"a file named {file.name}", KNOWN)
