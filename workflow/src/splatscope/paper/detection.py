"""Table 2 of Zeng et al.: detectors trained on synthetic and on real frames, tested on unseen real ones."""

from __future__ import annotations

from collections.abc import Mapping

from splatscope.paper.comparison import Aspect, Cell, Claim, Column, Comparison, Measure, Row
from splatscope.paper.inputs import PaperInputs
from splatscope.paper.published import DETECTION, GAUSSIAN

COLUMNS = (
    Column("precision", "precision", "↑"),
    Column("recall", "recall", "↑"),
    Column("map50", "mAP50", "↑"),
    Column("map50_95", "mAP50-95", "↑"),
)
ARMS = {"synthetic": "synthetic frames", "real": "real frames", "mixed": "both, half and half"}
POSE_ARMS = {
    "recorded_poses": "synthetic frames, all posed about recorded ones",
    "free_poses": "synthetic frames, all posed freely",
}
NAMES = {column.key: column.title for column in COLUMNS}
JUDGED = ("recall", "map50")  # differences that decide on the claim


def detection(inputs: PaperInputs) -> Comparison:
    """The table, with average precision and a mixed arm, which the paper does not have."""
    content = inputs.json("proof", "proof.json")
    figures = content["detection"] if content else {}
    rows = [
        Row(
            f"Trained on {label}",
            {
                column.key: Cell(DETECTION.get(arm, {}).get(column.key), _measure(figures.get(arm), column.key))
                for column in COLUMNS
            },
            arm == "synthetic",
        )
        for arm, label in (ARMS | {arm: label for arm, label in POSE_ARMS.items() if arm in figures}).items()
    ]
    return Comparison(
        "detection",
        "Detectors on unseen real frames",
        GAUSSIAN,
        "Table 2",
        "standard deviation over folds; in brackets the 95 % t interval of their mean",
        COLUMNS,
        rows,
        _protocol(inputs, content) if content else [],
        ["Precision and recall are those at the confidence of the best F1 on the test set, as YOLOv5 reports them."],
    )


def detection_claim(inputs: PaperInputs) -> Claim:
    """Training on synthetic frames gives higher recall and precision than on as many real ones."""
    gains = {name: DETECTION["synthetic"][name].mean - DETECTION["real"][name].mean for name in ("recall", "precision")}
    published = ", ".join(f"{name} {gain:+.3f}" for name, gain in gains.items())
    text = "On unseen real frames a detector does better when trained on synthetic frames than on as many real ones."
    content = inputs.json("proof", "proof.json")
    if content is None:
        return Claim(text, GAUSSIAN, published, "not run", "not run")
    found = {name: _measure(content["detection"]["synthetic_minus_real"], name) for name in (*gains, "map50")}
    said = ", ".join(
        f"{NAMES[name]} {gain.mean:+.3f}" + ("" if gain.low is None else f" [{gain.low:+.3f},\u00a0{gain.high:+.3f}]")
        for name, gain in found.items()
    )
    judged = [found[name] for name in JUDGED]
    if any(gain.low is None or gain.low <= 0 <= gain.high for gain in judged):
        verdict = "undecided"
    else:
        verdict = "reproduced" if all(gain.low > 0 for gain in judged) else "contradicted"
    basis = f"The 95 % t intervals of the differences in recall and mAP50 over {content['folds']} folds, against 0."
    return Claim(text, GAUSSIAN, published, said, verdict, basis)


def worth(inputs: PaperInputs) -> list[str]:
    """What synthetic frames are worth in real ones, in words, by metric; empty without data-efficiency curves."""
    efficiency = (inputs.json("proof", "proof.json") or {}).get("efficiency")
    return [f"{NAMES[name]}: {item['worth']}" for name, item in efficiency["metrics"].items()] if efficiency else []


def shortfall(inputs: PaperInputs) -> list[str]:
    """Why synthetic frames alone did not beat real ones, and what else was tried, in words; empty where they did."""
    content = inputs.json("proof", "proof.json")
    if content is None or detection_claim(inputs).verdict == "reproduced":
        return []
    figures, synthetic = content["detection"], content["synthetic"]
    gains = {name: figures["synthetic_minus_real"][name]["mean"] for name in JUDGED}
    lost = [NAMES[name] for name, gain in gains.items() if gain <= 0]
    said = [
        f"Synthetic frames alone did not beat as many real ones in {' and '.join(lost)}."
        if lost
        else "Synthetic frames alone were better in the mean, but the folds lie too far apart to be sure."
    ]
    spread = ", ".join(f"{figures[arm]['map50']['std'] or 0:.2f} ({arm})" for arm in ("real", "synthetic"))
    said.append(
        f"Between folds, which differ in the draw of {content['images']} images and in the first weights, mAP50 has a "
        f"standard deviation of {spread}: with so few images and random weights at the start chance weighs as much as "
        "the kind of frame."
    )
    others = {
        arm: label for arm, label in (ARMS | POSE_ARMS).items() if arm in figures and arm not in ("synthetic", "real")
    }
    said += [f"Tried: {label}. {_against_real(figures, arm)}" for arm, label in others.items()]
    said.append("In all of them light was varied alike: brightness, contrast, colour, blur and noise, drawn at random.")
    if not synthetic.endswith("_restyled"):
        said.append(f"Not among these: restyled frames, with proof.synthetic: {synthetic}_restyled.")
    return said


def _against_real(figures: Mapping, arm: str) -> str:
    """How an arm stands to the real one, by the metrics that decide."""
    gains = (f"{NAMES[name]} {figures[arm][name]['mean'] - figures['real'][name]['mean']:+.3f}" for name in JUDGED)
    return f"Against real frames: {', '.join(gains)}."


def segmentation(inputs: PaperInputs) -> list[dict]:
    """Rows of the same experiment with segmenters: task, arm, mIoU and the IoU of each class."""
    tasks = (inputs.json("proof", "proof.json") or {}).get("segmentation", {})
    return [
        {
            "task": task.replace("_", " "),
            "arm": ARMS.get(arm, arm),
            "miou": _measure(figures, "miou"),
            "iou": figures["iou"],
        }
        for task, arms in tasks.items()
        for arm, figures in arms.items()
    ]


def _measure(figures: Mapping | None, metric: str) -> Measure | None:
    """A figure as the stage proof describes it: over folds, with its t interval."""
    if not figures or figures[metric]["mean"] is None:
        return None
    return Measure(figures[metric]["mean"], figures[metric]["std"], *figures[metric]["t_interval"])


def _protocol(inputs: PaperInputs, content: Mapping) -> list[Aspect]:
    settings = inputs.settings["proof"]
    training = settings["detection"]
    yolov5 = content["detector"] == "ultralytics" and training["ultralytics_model"].startswith("yolov5")
    name = training["ultralytics_model"] if content["detector"] == "ultralytics" else content["detector"]
    size = f"{settings['width']}×{settings['height']} px"
    return [
        Aspect("Detector", "YOLOv5, default settings", name.replace("_", " "), yolov5),
        Aspect("Input size", "640×640 px", size, size == "640×640 px"),
        Aspect("Epochs", "100", str(training["epochs"]), training["epochs"] == 100),
        Aspect("Training images per arm", "1568", str(content["images"]), content["images"] == 1568),
        Aspect("Test images", "300, unseen", f"{content['test_images']}, unseen", content["test_images"] == 300),
        Aspect(
            "Recordings",
            "ex-vivo lamb organs",
            "the embedded phantom, whose video stands for the real frames" if inputs.phantom else "your own",
            False,
        ),
        Aspect("Synthetic frames", "splats at other poses", f"the dataset {content['synthetic']}", None),
        Aspect("Folds", "several, number not stated", str(content["folds"]), None),
        Aspect("Weights at the start", "not stated", "random", None),
    ]
