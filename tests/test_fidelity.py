"""fidelity and gate: scores fall with what is done to the labels, and the gate tells frames apart by them."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

import proof_material as material
from splatscope.config.restyle_proof import GateConfig
from splatscope.errors import InputError
from splatscope.restyle.contours import REACH_PX, edge_offsets, profiles, regions_of
from splatscope.restyle.fidelity import FidelityJudge
from splatscope.restyle.gate import Gate
from splatscope.shards import Frame

JUDGE = FidelityJudge(material.NearestColour(), material.GROUP_OF, material.CLASS_TABLE)
FRAME = material.frame(0)
REFERENCE = JUDGE.reference(FRAME)
FLAT = replace(FRAME, rgb=np.full_like(FRAME.rgb, 120))
BLIND = FidelityJudge(material.NearestColour(), np.full(256, 255, np.uint8))
NAMES = {class_id: name for name, class_id in material.CLASS_TABLE.items()}


def scores(image: np.ndarray, reference=REFERENCE) -> dict:
    return {score.name: score for score in JUDGE.scores(reference, image)}


def moved(image: np.ndarray, x: int) -> np.ndarray:
    return np.roll(image, x, axis=1)


def without_hook(image: np.ndarray) -> np.ndarray:
    """What restyling must not do: the hook painted over with what is around it."""
    hook = cv2.dilate((FRAME.instance_map == 2).astype(np.uint8), np.ones((5, 5)))
    return cv2.inpaint(image, hook, 5, cv2.INPAINT_TELEA)


# --- contours


def test_regions_are_instances_and_classes_without_instances():
    regions = {region.name: region for region in regions_of(FRAME, NAMES)}
    assert set(regions) == {"grasper 1", "l-hook electrocautery 2", "abdominal wall", "liver", "fat", "gallbladder"}
    hook = regions["l-hook electrocautery 2"]
    assert (hook.mask == (FRAME.instance_map == 2)).all() and hook.class_id == 9 and hook.occludes.all()
    liver = regions["liver"]
    assert liver.instance == 0 and 0 < liver.occludes.mean() < 1  # before the wall, behind the instruments
    assert np.linalg.norm(liver.normals, axis=1) == pytest.approx(1, abs=1e-5)
    height, width = FRAME.class_map.shape
    assert (liver.points > 0.5).all() and (liver.points < [width - 1.5, height - 1.5]).all()
    outside = np.rint(hook.points + 2 * hook.normals).astype(int)
    inside = np.rint(hook.points - hook.normals).astype(int)
    assert hook.mask[inside[:, 1], inside[:, 0]].mean() > 0.9 and hook.mask[outside[:, 1], outside[:, 0]].mean() < 0.1


def test_contours_end_where_nothing_is_labelled():
    classes = FRAME.class_map.copy()
    classes[:, :60] = 0
    classes[:, 120:] = 255
    regions = regions_of(replace(FRAME, class_map=classes, instance_map=np.zeros_like(classes)), NAMES)
    for region in regions:
        assert ((region.points[:, 0] > 61) & (region.points[:, 0] < 119)).all(), region.name


def test_tiny_regions_are_not_judged():
    classes = np.full((100, 100), material.LIVER, np.uint8)
    classes[50, 50:53] = material.BLOOD
    frame = Frame("000000", np.zeros((100, 100, 3), np.uint8), class_map=classes)
    assert [region.name for region in regions_of(frame, NAMES)] == ["liver"]


@pytest.mark.parametrize("width", [160, 640])
def test_edges_are_found_where_they_are_in_pixels_of_the_reference_width(width):
    classes = np.full((width // 2, width), material.FAT, np.uint8)
    classes[:, : width // 2] = material.LIVER
    frame = Frame("000000", np.zeros((*classes.shape, 3), np.uint8), class_map=classes)
    region = regions_of(frame, NAMES)[0]
    for shift in (-4, 0, 2):  # of the reference width
        image = np.zeros((*classes.shape, 3), np.uint8)
        image[:, : width // 2 + round(shift * width / 320)] = 200
        offsets, change = edge_offsets(profiles(image, region))
        assert np.abs(offsets - shift).max() <= 0.75 and (change > 20).all()


# --- scores


def test_the_raw_frame_keeps_everything():
    found = scores(FRAME.rgb)
    assert len(found) == 6 and all(score.score == 1 and score.edge_drift_px == 0 for score in found.values())
    assert found["grasper 1"].agreement == 1 and found["grasper 1"].occlusion == 1


def test_scores_fall_with_distance():
    lowest = [min(score.score for score in scores(moved(FRAME.rgb, x)).values()) for x in (0, 1, 2, 4)]
    assert lowest == sorted(lowest, reverse=True) and lowest[1] > 0.6 and lowest[3] < 0.4
    drifts = [scores(moved(FRAME.rgb, x))["l-hook electrocautery 2"].edge_drift_px for x in (0, 1, 2)]
    # a frame 160 wide: one pixel is two of the reference width, and a slanted edge moves by less than its pixels
    assert drifts[0] == 0 and 0.5 < drifts[1] < 2.5 and drifts[1] < drifts[2] < REACH_PX


def test_colour_may_change_while_edges_stay():
    lab = cv2.cvtColor(FRAME.rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab[..., 1] += 12
    lab[..., 0] *= 0.9
    image = cv2.cvtColor(lab.clip(0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)
    for score in scores(image).values():
        assert score.edge_drift_px < 0.5 and score.occlusion in (None, pytest.approx(1, abs=0.05)), score


def test_what_vanishes_loses_its_score_and_nothing_else_does():
    found = scores(without_hook(FRAME.rgb))
    gone = found.pop("l-hook electrocautery 2")
    assert gone.score < 0.1 and gone.agreement < 0.1 and gone.occlusion < 0.1 and gone.edge_drift_px > 1.5
    assert all(found[name].score > 0.9 for name in ("grasper 1", "gallbladder", "fat")), found


def test_noise_without_structure_scores_like_chance():
    noise = np.random.default_rng(0).integers(0, 256, FRAME.rgb.shape).astype(np.uint8)
    found = scores(noise)
    assert max(score.score for score in found.values()) < 0.5
    assert np.mean([score.edge_drift_px for score in found.values()]) == pytest.approx(REACH_PX / 2, abs=1)


def test_parts_that_cannot_be_judged_are_none():
    assert BLIND.scores(BLIND.reference(FLAT), FRAME.rgb) == []  # the raw frame shows no edge, and no class is known
    found = {score.name: score for score in JUDGE.scores(JUDGE.reference(replace(FRAME, depth_mm=None)), FRAME.rgb)}
    assert found["liver"].occlusion is None and found["liver"].score == 1
    classes = FRAME.class_map.copy()
    classes[FRAME.class_map == material.GALLBLADDER] = material.BLOOD  # no class of the protocol
    found = {score.name: score for score in JUDGE.scores(JUDGE.reference(replace(FRAME, class_map=classes)), FRAME.rgb)}
    assert found["blood"].agreement is None and found["blood"].edge_drift_px == 0


def test_frames_and_images_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="no class map"):
        JUDGE.reference(Frame("000000", FRAME.rgb))
    with pytest.raises(ValueError, match="expected uint8"):
        JUDGE.scores(REFERENCE, FRAME.rgb[:-1])


# --- gate


class Restyler:
    """Gives prepared images, one a try, and remembers what it was asked."""

    def __init__(self, *images: np.ndarray):
        self.images, self.asked = images, []

    def __call__(self, frame: Frame, strength: float, attempt: int) -> np.ndarray:
        self.asked.append((strength, attempt))
        return self.images[attempt]


def gate(**settings) -> Gate:
    return Gate(JUDGE, GateConfig(**({"limit": 0.7, "strength_factors": (1.0, 0.8, 0.5)} | settings)), strength=0.5)


def test_a_good_frame_passes_at_once():
    restyler = Restyler(FRAME.rgb)
    result = gate()(FRAME, restyler)
    assert result.image is FRAME.rgb and restyler.asked == [(0.5, 0)]
    certificate = json.loads(json.dumps(result.certificate, allow_nan=False))
    assert (certificate["outcome"], certificate["tries"], certificate["blended"]) == ("passed", 1, 0)
    assert certificate["score"] == 1 and certificate["strength"] == 0.5 and len(certificate["regions"]) == 6


def test_a_frame_bad_all_over_is_made_again_with_lower_strength():
    restyler = Restyler(moved(FRAME.rgb, 8), FRAME.rgb)
    result = gate()(FRAME, restyler)
    assert restyler.asked == [(0.5, 0), (0.4, 1)] and result.image is FRAME.rgb
    assert (result.certificate["outcome"], result.certificate["strength"]) == ("passed", 0.4)
    assert result.certificate["try_scores"][0] < 0.7 and result.certificate["try_scores"][1] == 1


def test_what_is_bad_in_one_place_is_mended_there():
    warm = (FRAME.rgb * [0.95, 0.9, 0.9]).astype(np.uint8)
    worse, bad = moved(warm, 8), without_hook(warm)
    result = gate()(FRAME, Restyler(worse, bad))
    assert (result.certificate["outcome"], result.certificate["tries"]) == ("mended", 2)
    assert result.certificate["strength"] == 0.4
    assert 0 < result.certificate["blended"] <= 0.1 and result.certificate["score"] >= 0.7
    hook = cv2.erode((FRAME.instance_map == 2).astype(np.uint8), np.ones((3, 3))) > 0
    assert np.abs(result.image[hook].astype(int) - FRAME.rgb[hook]).mean() < 3
    far = cv2.dilate((FRAME.instance_map == 2).astype(np.uint8), np.ones((25, 25))) == 0
    far[:, 100:] = False
    assert (result.image[far] == bad[far]).mean() > 0.95


def test_it_is_mended_with_the_picture_that_restyling_started_from():
    tinted = (FRAME.rgb * [0.9, 0.9, 1.0]).astype(np.uint8)
    result = gate()(FRAME, Restyler(without_hook(tinted)), tinted)
    hook = cv2.erode((FRAME.instance_map == 2).astype(np.uint8), np.ones((3, 3))) > 0
    assert result.certificate["outcome"] == "mended"
    assert np.abs(result.image[hook].astype(int) - tinted[hook]).mean() < 3


def test_what_cannot_be_mended_is_dropped():
    bad = moved(FRAME.rgb, 8)
    result = gate()(FRAME, Restyler(bad, bad, bad))
    assert result.image is None and result.certificate["outcome"] == "dropped"
    assert result.certificate["score"] < 0.7 and result.certificate["blended"] == 0
    little = gate(max_blended=0.001)(FRAME, Restyler(*[without_hook(FRAME.rgb)] * 3))
    assert little.image is None and little.certificate["tries"] == 3


def test_a_frame_that_cannot_be_judged_passes_and_says_so():
    result = Gate(BLIND, GateConfig(), strength=0.5)(FLAT, Restyler(FRAME.rgb))
    assert result.certificate["outcome"] == "passed" and result.certificate["score"] is None
    assert result.certificate["regions"] == [] and json.dumps(result.certificate, allow_nan=False)


def test_strengths_must_fall():
    for factors in ((), (0.5, 0.5), (0.4, 0.6), (1.2,), (1.0, 0.0)):
        with pytest.raises(ValidationError):
            GateConfig(strength_factors=factors)
