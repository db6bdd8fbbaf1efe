"""Table 2 of Zeng et al.: detectors trained on synthetic and on real frames, tested on unseen real ones."""

from __future__ import annotations

import pandas as pd

from splatscope.paper.comparison import Aspect, Cell, Claim, Column, Comparison, Row
from splatscope.paper.inputs import PaperInputs, over_folds
from splatscope.paper.published import DETECTION, GAUSSIAN

COLUMNS = (
    Column("precision", "precision", "↑"),
    Column("recall", "recall", "↑"),
    Column("map50", "mAP50", "↑"),
    Column("map50_95", "mAP50-95", "↑"),
)
ARMS = {"synthetic": "synthetic frames", "real": "real frames", "mixed": "both"}


def detection(inputs: PaperInputs) -> Comparison:
    """The table, with average precision and a mixed arm, which the paper does not have."""
    folds = fold_rows(inputs)
    rows = [
        Row(
            f"Trained on {label}",
            {
                column.key: Cell(
                    DETECTION.get(arm, {}).get(column.key),
                    over_folds(folds.loc[folds["arm"] == arm, column.key]),
                )
                for column in COLUMNS
            },
            arm == "synthetic",
        )
        for arm, label in ARMS.items()
    ]
    return Comparison(
        "detection",
        "Detectors on unseen real frames",
        GAUSSIAN,
        "Table 2",
        "standard deviation over folds; in brackets the 95 % t interval of the mean",
        COLUMNS,
        rows,
        _protocol(inputs, folds),
        ["Precision and recall are those at the confidence of the best F1 on the test set, as YOLOv5 reports them."],
    )


def detection_claim(inputs: PaperInputs) -> Claim:
    """Training on synthetic frames gives higher recall and precision than on as many real ones."""
    gains = {name: DETECTION["synthetic"][name].mean - DETECTION["real"][name].mean for name in ("recall", "precision")}
    published = ", ".join(f"{name} {gain:+.3f}" for name, gain in gains.items())
    text = "On unseen real frames a detector does better when trained on synthetic frames than on as many real ones."
    folds = fold_rows(inputs).pivot_table(index="fold", columns="arm", values=["recall", "precision", "map50"])
    if not len(folds) or not {"synthetic", "real"} <= set(folds.columns.get_level_values(1)):
        return Claim(text, GAUSSIAN, published, "not run", "not run")
    measured = {
        name: over_folds(folds[name]["synthetic"] - folds[name]["real"]) for name in ("recall", "precision", "map50")
    }
    found = ", ".join(f"{name.replace('map50', 'mAP50')} {gain.mean:+.3f}" for name, gain in measured.items())
    recall = measured["recall"]
    if recall.low is None or recall.low <= 0 <= recall.high:
        verdict = "undecided"
    else:
        verdict = "reproduced" if recall.low > 0 and measured["map50"].mean > 0 else "contradicted"
    basis = f"The 95 % t interval of the paired difference in recall over {len(folds)} folds, against 0."
    return Claim(text, GAUSSIAN, published, found, verdict, basis)


def fold_rows(inputs: PaperInputs) -> pd.DataFrame:
    """A row per arm and fold of the full number of images; empty when detectors were not run."""
    table = inputs.table("proof", "detection.parquet")
    if table is None:
        return pd.DataFrame(columns=["arm", "fold", *(column.key for column in COLUMNS)])
    return table[table["arm"].isin(list(ARMS))]


def _protocol(inputs: PaperInputs, folds: pd.DataFrame) -> list[Aspect]:
    settings = inputs.settings.get("proof")
    if settings is None or not len(folds):
        return []
    detector = settings["detection"]
    yolov5 = detector["detector"] == "ultralytics" and detector["ultralytics_model"].startswith("yolov5")
    size = f"{settings['width']}×{settings['height']} px"
    tested = int(folds["test_images"].iloc[0]) if "test_images" in folds else None
    return [
        Aspect("Detector", "YOLOv5, default settings", detector["detector"].replace("_", " "), yolov5),
        Aspect("Input size", "640×640 px", size, size == "640×640 px"),
        Aspect("Epochs", "100", str(detector["epochs"]), detector["epochs"] == 100),
        Aspect("Training images per arm", "1568", str(settings["images"]), settings["images"] == 1568),
        Aspect("Test images", "300, unseen, real", f"{tested or 'not stated'}, unseen", tested == 300),
        Aspect(
            "Recordings",
            "ex-vivo lamb organs",
            "the embedded phantom; its video stands for the real frames" if inputs.phantom else "your own",
            False,
        ),
        Aspect("Folds", "several, number not stated", str(folds["fold"].nunique()), None),
        Aspect("First weights", "not stated", "random", None),
    ]
