"""Pictures of what breaks a limit: each offender beside what shows why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path

import cv2
import numpy as np

from splatscope.annotate.records import Annotation
from splatscope.checks.depth import contradicting_pixels
from splatscope.checks.measures import Measures
from splatscope.checks.outcome import MOST_SHOWN, Offender, Outcome, limit_text
from splatscope.images import decode_image, draw_outline, to_uint8
from splatscope.shards import Frame, read_shard

COLUMNS = 3
PANEL = (300, 240)  # width and height of each of an offender's two pictures, in pixels
LINE, GAP = 18, 6  # pixels
VISIBLE, AMODAL, WRONG = (0, 220, 255), (255, 170, 0), (255, 0, 90)  # colours of outlines
MARGIN = 0.4  # of an instance's size, around it in its close-up
PAPER, INK = 255, (20, 20, 20)


def draw_offenders(
    dataset: str,
    outcomes: Sequence[Outcome],
    measures: Measures,
    annotations_of: Callable[[Frame], list[Annotation]],
    slack_mm: float,
) -> np.ndarray:
    """uint8 [H, W, 3]: up to MOST_SHOWN offenders, as many of each check as there is room for, or that there are none.

    An instance's visible part is outlined in blue, all of it in orange, pixels that the depth map contradicts in red.
    """
    turns = zip_longest(*([(outcome, one) for one in outcome.shown] for outcome in outcomes))
    chosen = list(islice((one for one in chain.from_iterable(turns) if one is not None), MOST_SHOWN))
    if not chosen:
        return _with_text(np.full((GAP, COLUMNS * PANEL[0], 3), PAPER, np.uint8), [f"{dataset}: nothing to show"])
    frames = _read_frames(chosen, measures)
    tiles = [_tile(outcome, offender, frames, annotations_of, slack_mm) for outcome, offender in chosen]
    tiles += [np.full_like(tiles[0], PAPER)] * (-len(tiles) % COLUMNS)
    return np.vstack([np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)])


def _read_frames(chosen: Sequence[tuple[Outcome, Offender]], measures: Measures) -> dict[str, Frame]:
    """The frames that are to be drawn, by name; no others are decoded."""
    wanted = {offender.frame for _, offender in chosen}
    wanted |= {offender.twin for _, offender in chosen if offender.twin and not offender.twin_is_real}
    names = {place: name for name, place in zip(measures.names, measures.places) if name in wanted}
    keys = defaultdict(set)
    for shard, key in names:
        keys[shard].add(key)
    return {names[shard, frame.key]: frame for shard in keys for frame in read_shard(shard, keys=keys[shard])}


def _tile(
    outcome: Outcome,
    offender: Offender,
    frames: dict[str, Frame],
    annotations_of: Callable[[Frame], list[Annotation]],
    slack_mm: float,
) -> np.ndarray:
    """An offender: two lines of text over two pictures."""
    frame = frames[offender.frame]
    left, right = frame.rgb, None
    if offender.twin is not None:
        right = decode_image(Path(offender.twin).read_bytes()) if offender.twin_is_real else frames[offender.twin].rgb
    elif offender.instance is not None:
        annotations = annotations_of(frame)
        rank = [annotation.instance for annotation in annotations].index(offender.instance)
        own = annotations[rank]
        left = frame.rgb.copy()
        draw_outline(left, own.amodal, AMODAL)
        draw_outline(left, own.visible, VISIBLE)
        right = left
        if outcome.name == "max_depth_disagreement":
            wrong = contradicting_pixels(frame, annotations, slack_mm)[rank]
            right = _depth_picture(frame.depth_mm, own.visible, wrong)
        right = _close_up(right, own.amodal)
    pictures = [_fitted(left), np.full((PANEL[1], PANEL[0], 3), PAPER, np.uint8) if right is None else _fitted(right)]
    return _with_text(
        np.hstack(pictures), [f"{offender.frame}: {outcome.name} {limit_text(outcome.limit)}", offender.text]
    )


def _depth_picture(depth_mm: np.ndarray, visible: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """The depth map, near bright and nothing black, with an instance's outline and the pixels that contradict it."""
    known = depth_mm > 0
    nearest, farthest = np.percentile(depth_mm[known], [1, 99]) if known.any() else (0, 1)
    shade = 1 - (depth_mm - nearest) / max(farthest - nearest, 1e-3)
    picture = to_uint8(np.repeat(np.where(known, shade.clip(0.1, 1), 0)[..., None], 3, axis=2))
    picture[wrong] = WRONG
    draw_outline(picture, visible, VISIBLE)
    return picture


def _close_up(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The part of the picture round the mask, bool [H, W]."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    margin = max(8, round(MARGIN * max(width, height)))
    return picture[max(0, y - margin) : y + height + margin, max(0, x - margin) : x + width + margin]


def _fitted(picture: np.ndarray) -> np.ndarray:
    """Scaled to a panel, a gap and what is left over around it."""
    room = PANEL[0] - GAP, PANEL[1] - GAP
    scale = min(room[0] / picture.shape[1], room[1] / picture.shape[0])
    size = (max(1, round(scale * picture.shape[1])), max(1, round(scale * picture.shape[0])))
    canvas = np.full((PANEL[1], PANEL[0], 3), PAPER, np.uint8)
    top, left = (PANEL[1] - size[1]) // 2, (PANEL[0] - size[0]) // 2
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(picture, size, interpolation=how)
    return canvas


def _with_text(picture: np.ndarray, lines: Sequence[str]) -> np.ndarray:
    """The picture with lines of text above it."""
    head = np.full((LINE * len(lines) + GAP, picture.shape[1], 3), PAPER, np.uint8)
    for number, line in enumerate(lines, start=1):
        place = (GAP, LINE * number)
        cv2.putText(head, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
    return np.vstack([head, picture])
