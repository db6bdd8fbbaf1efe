"""restyle.look: tissue takes on the colours of real pictures, and pictures their contrast at every scale."""

import cv2
import numpy as np
import pytest

from splatscope.errors import InputError
from splatscope.images import encode_png
from splatscope.restyle.look import ColourMatch, ContrastMatch, band_contrast, load_look, measure_look
from splatscope.shards import Frame

METAL = 5


def picture(seed, colour, spread=12.0, size=(48, 64)):
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.normal(size=(*size, 3)).astype(np.float32), (0, 0), 2)
    return np.clip(np.float32(colour) + spread * texture / texture.std(), 1, 255).astype(np.uint8)


def frame(rgb, metal_rows=0):
    classes = np.full(rgb.shape[:2], 2, np.uint8)
    classes[:metal_rows] = METAL
    return Frame("000000", rgb, {}, class_map=classes)


def lab_of(image):
    return cv2.cvtColor(np.float32(image), cv2.COLOR_RGB2LAB).reshape(-1, 3)


@pytest.fixture
def real():
    return measure_look(picture(seed, (170, 60, 50), 25.0) for seed in range(3))


def test_tissue_takes_on_the_distribution_of_the_look(real):
    clip = [frame(picture(seed, (110, 70, 60))) for seed in (7, 8)]
    match = ColourMatch(iter(clip), real, [METAL])
    found = np.quantile(np.concatenate([lab_of(match(item)) for item in clip]), [0.1, 0.5, 0.9], axis=0).T
    wanted = real.colours[:, [26, 128, 230]]
    np.testing.assert_allclose(found, wanted, atol=2.5)  # colours outside sRGB are cut off
    before = np.quantile(lab_of(clip[0].rgb / 255), [0.1, 0.5, 0.9], axis=0).T
    assert np.abs(before - wanted).max() > 10


def test_one_mapping_for_the_whole_clip(real):
    """The same colour becomes the same colour in every frame, and brighter stays brighter."""
    clip = [frame(picture(seed, (110, 70, 60))) for seed in (7, 8)]
    match = ColourMatch(clip, real, [METAL])
    patch = np.full((48, 64, 3), (120, 75, 62), np.uint8)
    first, second = match(frame(patch)), match(frame(np.clip(patch + 20, 0, 255).astype(np.uint8)))
    np.testing.assert_array_equal(first, match(frame(patch)))
    assert lab_of(second)[:, 0].mean() > lab_of(first)[:, 0].mean() + 3


def test_instruments_and_black_border_keep_their_colour(real):
    rgb = picture(3, (110, 70, 60))
    rgb[:, :10] = 0
    item = frame(rgb, metal_rows=16)
    changed = np.abs(ColourMatch([item], real, [METAL])(item) - rgb / 255).max(axis=2)
    assert changed[:12].max() < 1e-3 and changed[:, :6].max() < 1e-3
    assert changed[22:, 16:].mean() > 0.05


def test_frames_without_classes_are_tissue(real):
    item = Frame("000000", picture(3, (110, 70, 60)), {})
    assert np.abs(ColourMatch([item], real, [METAL])(item) - item.rgb / 255).mean() > 0.05


def test_file_and_folder_give_the_same_look(tmp_path):
    for seed in range(2):
        (tmp_path / f"{seed}.png").write_bytes(encode_png(picture(seed, (150, 60, 50))))
    folder = load_look(tmp_path)
    folder.save(tmp_path / "look.safetensors")
    saved = load_look(tmp_path / "look.safetensors")
    np.testing.assert_array_equal(saved.colours, folder.colours)
    np.testing.assert_array_equal(saved.contrast, folder.contrast)
    assert saved.provenance == {"folder": tmp_path.name}


def test_grey_and_blue_pixels_do_not_count():
    image = picture(1, (170, 60, 50), 25.0)
    tissue = measure_look([image[20:]])
    image[:12] = (120, 125, 130)  # metal
    image[12:20] = (60, 90, 160)  # gauze
    np.testing.assert_array_equal(measure_look([image]).colours, tissue.colours)


def test_what_is_no_look_is_named(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    (tmp_path / "grey").mkdir()
    (tmp_path / "grey/1.png").write_bytes(encode_png(np.full((8, 8, 3), 128, np.uint8)))
    for source, found in (
        (tmp_path / "missing.safetensors", "no such file"),
        (tmp_path / "broken.safetensors", "."),
        (tmp_path, "no PNG or JPEG"),
        (tmp_path / "grey", "no pixel that could be tissue"),
        ("resources/mini/style_features.safetensors", "colours"),
    ):
        with pytest.raises(InputError, match=found) as error:
            load_look(source)
        assert str(source) in str(error.value)


def test_contrast_of_a_border_does_not_count():
    rgb = picture(4, (120, 70, 60), size=(256, 320)) / np.float32(255)
    bordered = rgb.copy()
    bordered[:, :60] = 0
    np.testing.assert_allclose(band_contrast(bordered), band_contrast(rgb[:, 60:]), rtol=0.05)


def test_contrast_is_the_same_at_any_size():
    rgb = cv2.GaussianBlur(picture(4, (120, 70, 60), 30.0, size=(256, 320)), (0, 0), 2) / np.float32(255)
    twice = cv2.resize(rgb, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC).clip(0, 1)
    np.testing.assert_allclose(band_contrast(twice), band_contrast(rgb), rtol=0.1)


@pytest.mark.parametrize("scale", [1, 2])
def test_a_clip_gets_the_contrast_of_the_look(scale):
    def textured(seed, spread):
        fine = picture(seed, (128, 80, 70), spread, size=(256, 320))
        return cv2.resize(fine, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) / np.float32(255)

    look = measure_look([np.rint(textured(1, 16.0) * 255).astype(np.uint8)])
    match = ContrastMatch(look)
    first, second = textured(2, 10.0), textured(3, 10.0)
    np.testing.assert_allclose(band_contrast(match(first)), look.contrast, rtol=0.1)
    np.testing.assert_allclose(band_contrast(match(second)), look.contrast, rtol=0.2)
    assert (band_contrast(first) < 0.75 * look.contrast).all()


def test_gains_are_those_of_the_first_picture(real):
    match, again = ContrastMatch(real), ContrastMatch(real)
    first, second = (picture(seed, (128, 80, 70), 20.0, size=(64, 80)) / np.float32(255) for seed in (1, 2))
    match(first)
    assert np.abs(match(second) - again(second)).max() > 1e-4
    np.testing.assert_array_equal(match(first), ContrastMatch(real)(first))
