"""Croissant: images, masks and tables, described by metadata (JSON-LD) from which loaders read records.

croissant.json
images/, masks/class/, masks/instance/
images.csv, annotations.csv, categories.csv
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from splatscope.exports.source import Dataset
from splatscope.exports.written import Advance, Written

TABLES = {  # columns of each table and their types
    "categories": {"id": "INTEGER", "name": "TEXT"},
    "images": {"name": "TEXT", "file_name": "TEXT", "split": "TEXT", "width": "INTEGER", "height": "INTEGER"},
    "annotations": {
        "id": "INTEGER",
        "image": "TEXT",
        "category": "INTEGER",
        "instance": "INTEGER",
        "bbox": "BOUNDING_BOX",
        "area": "INTEGER",
        "visibility": "FLOAT",
    },
}
KEYS = {"categories": "id", "images": "name", "annotations": "id"}
REFERENCES = {("annotations", "image"): "images/name", ("annotations", "category"): "categories/id"}
PICTURES = {
    "pictures": "images",
    "class_masks": "masks/class",  # pixels: class ids
    "instance_masks": "masks/instance",  # pixels: `instance` of annotations
}


def write(dataset: Dataset, folder: Path, advance: Advance) -> Written:
    for image in dataset.images:
        for file in (image.file_name, f"masks/class/{image.name}.png", f"masks/instance/{image.name}.png"):
            dataset.copy(file, folder / file)
        advance()
    for name, rows in _tables(dataset).items():
        _write_csv(folder / f"{name}.csv", TABLES[name], rows)
    text = json.dumps(metadata(dataset, folder).to_json(), indent=2)
    (folder / "croissant.json").write_text(text + "\n")
    files = {
        "`croissant.json`": "the description of all that follows",
        "`images/`, `masks/class/`, `masks/instance/`": "images and masks (class id, instance number)",
        "`images.csv`, `annotations.csv`, `categories.csv`": "splits and sizes; boxes (x, y, width, height), areas, "
        "visibility; names",
    }
    return Written(dataset.annotations, files)


def metadata(dataset: Dataset, folder: Path) -> Any:
    """The description, as `mlcroissant.Metadata`, of the tables in `folder` and the pictures beside them."""
    import mlcroissant as mlc  # here, because it takes seconds

    suffix = dataset.images[0].suffix
    distribution, records = [], []
    for name, columns in TABLES.items():
        digest = hashlib.sha256((folder / f"{name}.csv").read_bytes()).hexdigest()
        table = f"{name}.csv"
        distribution.append(
            mlc.FileObject(id=table, name=table, content_url=table, encoding_formats=["text/csv"], sha256=digest)
        )
        fields = [
            mlc.Field(
                id=f"{name}/{column}",
                name=column,
                data_types=[getattr(mlc.DataType, kind)],
                source=mlc.Source(file_object=table, extract=mlc.Extract(column=column)),
                references=mlc.Source(field=REFERENCES[name, column]) if (name, column) in REFERENCES else None,
            )
            for column, kind in columns.items()
        ]
        records.append(mlc.RecordSet(id=name, name=name, key=[f"{name}/{KEYS[name]}"], fields=fields))
    for name, place in PICTURES.items():
        ending = suffix if name == "pictures" else ".png"
        files = f"{name}-files"
        kind = "image/png" if ending == ".png" else "image/jpeg"
        distribution.append(mlc.FileSet(id=files, name=files, encoding_formats=[kind], includes=[f"{place}/*{ending}"]))
        from_name = mlc.Transform(regex=r"^(.*)\.[a-z]+$")
        source = mlc.Source(file_set=files, extract=mlc.Extract(file_property="filename"), transforms=[from_name])
        content = mlc.Source(file_set=files, extract=mlc.Extract(file_property="content"))
        fields = [
            mlc.Field(id=f"{name}/image", name="image", data_types=[mlc.DataType.TEXT], source=source),
            mlc.Field(id=f"{name}/content", name="content", data_types=[mlc.DataType.IMAGE_OBJECT], source=content),
        ]
        records.append(mlc.RecordSet(id=name, name=name, key=[f"{name}/image"], fields=fields))
    return mlc.Metadata(
        name=dataset.name,
        description=f"{len(dataset.images)} endoscope images with {dataset.annotations} annotated instruments.",
        version="1.0.0",
        license=[dataset.licence],
        creators=[mlc.Person(name=dataset.author)],
        distribution=distribution,
        record_sets=records,
    )


def _tables(dataset: Dataset) -> dict[str, list[Sequence]]:
    images = [(i.name, Path(i.file_name).name, i.split, i.width, i.height) for i in dataset.images]
    annotations = [
        (n.entry["id"], i.name, n.category, n.number, " ".join(map(str, n.box)), n.area, n.visibility)
        for i in dataset.images
        for n in i.instances
    ]
    return {"categories": list(dataset.categories.items()), "images": images, "annotations": annotations}


def _write_csv(path: Path, columns: Iterable[str], rows: Iterable[Sequence]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
