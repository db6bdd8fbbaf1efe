"""restyle.conditions, .detectors, .letterbox, .prompts and the stage's settings."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from splatscope.classes import voc_colours
from splatscope.config.restyle import RestyleConfig
from splatscope.errors import InputError
from splatscope.geometry import Camera
from splatscope.restyle.conditions import EXACT, condition_channels, condition_image
from splatscope.restyle.detectors import ESTIMATED, Detectors
from splatscope.restyle.letterbox import Letterbox
from splatscope.restyle.prompts import frame_prompt
from splatscope.shards import Frame

HEIGHT, WIDTH = 48, 64
CAMERA = Camera(WIDTH, HEIGHT, 60.0, 60.0, 32.0, 24.0, (-0.05, 0.01, 0.0, 0.0))
FACING = np.float32([0, 0, -1])
BLOCK = np.s_[12:36, 20:44]


def make_frame(**changes) -> Frame:
    """A wall (class 2) 100 mm away that faces the camera, before it a block (class 5, instance 1) 50 mm away; the
    upper left corner is empty."""
    depth = np.full((HEIGHT, WIDTH), 100, np.float32)
    class_map, instances = np.full((HEIGHT, WIDTH), 2, np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    depth[BLOCK], class_map[BLOCK], instances[BLOCK] = 50, 5, 1
    normals = np.tile(FACING, (HEIGHT, WIDTH, 1))
    depth[:6, :6], class_map[:6, :6], normals[:6, :6] = 0, 0, 0
    rgb = np.random.default_rng(0).integers(0, 10, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    rgb[BLOCK] += 150
    frame = Frame("000000", rgb, {"camera": CAMERA.to_dict()}, class_map, instances, None, depth, None, normals)
    return replace(frame, **changes)


@pytest.mark.parametrize("name", [*EXACT, "scene", "scene_estimated"])
def test_shape_range_and_type(name):
    image = condition_image(name, make_frame())
    assert image.shape == (HEIGHT, WIDTH, condition_channels(name)) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1


def test_depth_is_inverse_and_fixed():
    depth = condition_image("depth", make_frame(), depth_range_mm=(40.0, 200.0))[..., 1]
    expected = [(1 / mm - 1 / 200) / (1 / 40 - 1 / 200) for mm in (50, 100)]
    assert depth[24, 30] == pytest.approx(expected[0], abs=1e-6)
    assert depth[40, 50] == pytest.approx(expected[1], abs=1e-6)
    assert (depth[:6, :6] == 0).all()
    clipped = condition_image("depth", make_frame(), depth_range_mm=(60.0, 90.0))[..., 0]
    assert clipped[24, 30] == 1 and clipped[40, 50] == 0


def test_depth_of_the_frames_own_range():
    own = condition_image("depth", make_frame(), depth_range_mm=None)
    assert (own[BLOCK] == 1).all() and own[40, 50, 0] == 0
    empty = condition_image("depth", make_frame(depth_mm=np.zeros((HEIGHT, WIDTH), np.float32)), depth_range_mm=None)
    assert not empty.any()


@pytest.mark.parametrize(
    "normal, colour",
    [((0, 0, -1), (0.5, 0.5, 1)), ((-1, 0, 0), (1, 0.5, 0.5)), ((0, -1, 0), (0.5, 1, 0.5)), ((0, 0, 0), (0, 0, 0))],
    ids=["front is blue", "left is red", "up is green", "nothing is black"],
)
def test_normals_in_scannets_protocol(normal, colour):
    normals = np.tile(np.float32(normal), (HEIGHT, WIDTH, 1))
    image = condition_image("normals", make_frame(normals=normals, depth_mm=np.zeros((HEIGHT, WIDTH), np.float32)))
    np.testing.assert_allclose(image[30, 30], colour, atol=1e-6)


def test_normals_from_depth_where_there_are_none():
    """A slanted plane seen through a distorting lens: computed normals are the plane's."""
    normal = np.array([0.3, -0.5, -0.8]) / np.linalg.norm([0.3, -0.5, -0.8])
    rays = np.dstack([CAMERA.pixel_rays(), np.ones((HEIGHT, WIDTH))])
    depth = (-80 * 0.8 / (rays @ normal)).astype(np.float32)
    expected = 0.5 - 0.5 * normal
    image = condition_image("normals", make_frame(depth_mm=depth, normals=None))
    np.testing.assert_allclose(image, np.broadcast_to(expected, image.shape), atol=2e-3)
    some = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    some[:, 32:] = FACING
    image = condition_image("normals", make_frame(depth_mm=depth, normals=some))
    np.testing.assert_allclose(image[10, 40], [0.5, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(image[10, 10], expected, atol=2e-3)


def test_normals_from_depth_keep_to_their_surface_at_outlines():
    image = condition_image("normals", make_frame(normals=None))
    seen = make_frame().depth_mm > 0
    np.testing.assert_allclose(image[seen], np.broadcast_to([0.5, 0.5, 1], image[seen].shape), atol=1e-3)
    assert not image[~seen].any()


def test_soft_edges_are_outlines():
    edge = condition_image("soft_edge", make_frame())[..., 0]
    outline = np.r_[edge[12, 22:42], edge[35, 22:42], edge[14:34, 20], edge[14:34, 43]]
    assert outline.min() > 0.6
    assert edge[24, 32] == 0 and edge[42, 10] == 0


@pytest.mark.parametrize("what", ["class", "instance", "depth", "crease"])
def test_each_map_alone_gives_edges(what):
    flat = make_frame(
        class_map=np.full((HEIGHT, WIDTH), 2, np.uint8),
        instance_map=np.zeros((HEIGHT, WIDTH), np.uint8),
        depth_mm=np.full((HEIGHT, WIDTH), 100, np.float32),
        normals=np.tile(FACING, (HEIGHT, WIDTH, 1)),
    )
    assert not condition_image("soft_edge", flat).any()
    changed = {"class": flat.class_map, "instance": flat.instance_map, "depth": flat.depth_mm, "crease": flat.normals}
    changed[what][:, 32:] = {"class": 4, "instance": 1, "depth": 70, "crease": (-1, 0, 0)}[what]
    edge = condition_image("soft_edge", flat)[..., 0]
    assert edge[:, 31:33].min() > 0.5 and edge[:, :28].max() == 0


def test_slopes_are_no_edges():
    """A plane's inverse depth is linear in the image, however steep it is."""
    columns = np.arange(WIDTH, dtype=np.float32)
    depth = np.tile(1 / (1 / 150 + columns * 1e-4), (HEIGHT, 1)).astype(np.float32)
    frame = make_frame(depth_mm=depth, class_map=np.full((HEIGHT, WIDTH), 2, np.uint8), instance_map=None)
    frame.normals[:] = FACING
    assert condition_image("soft_edge", frame).max() < 0.01


def test_voc_colours():
    """The table as the PASCAL VOC development kit prints it."""
    colours = np.rint(voc_colours() * 255)
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 5: (128, 0, 128), 8: (64, 0, 0), 20: (0, 64, 128)}
    for class_id, colour in {**known, 255: (224, 224, 192)}.items():
        assert tuple(colours[class_id]) == colour
    labels = condition_image("labels", make_frame())
    np.testing.assert_allclose(labels[24, 30] * 255, (128, 0, 128), atol=1e-3)


def test_scene_is_the_stack():
    frame = make_frame()
    scene = condition_image("scene", frame)
    np.testing.assert_array_equal(scene[..., 0], condition_image("depth", frame)[..., 0])
    np.testing.assert_array_equal(scene[..., 1:4], condition_image("normals", frame))
    np.testing.assert_array_equal(scene[..., 4], condition_image("soft_edge", frame)[..., 0])
    np.testing.assert_array_equal(scene[..., 5:], condition_image("labels", frame))


def test_missing_maps():
    with pytest.raises(InputError, match=r"(?s)frame 000000.*no depth_mm.*soft_edge_pidinet"):
        condition_image("depth", make_frame(depth_mm=None))
    with pytest.raises(InputError, match="no class_map"):
        condition_image("scene", make_frame(class_map=None))
    with pytest.raises(InputError, match="camera"):
        condition_image("normals", make_frame(normals=None, meta={}))
    with pytest.raises(ValueError, match="expected one of"):
        condition_image("thermal", make_frame())
    with pytest.raises(ValueError, match="expected detectors"):
        condition_image("canny", make_frame())


class TestDetectors:
    def test_canny_needs_no_weights(self, tmp_path):
        frame = Frame("000000", make_frame().rgb.repeat(6, 0).repeat(6, 1))
        image = condition_image("canny", frame, detectors=Detectors(tmp_path))
        assert image.shape == (6 * HEIGHT, 6 * WIDTH, 3) and image.max() <= 1
        assert image[126:162, 117:123].max(axis=(1, 2)).min() > 0.3  # the block's left side
        assert image[140:150, 180:200].max() == 0  # its face

    def test_pidinet(self, shared_data):
        detectors = Detectors(shared_data / "pidinet")
        image = condition_image("soft_edge_pidinet", make_frame(), detectors=detectors)
        assert image.shape == (HEIGHT, WIDTH, 3) and image.dtype == np.float32
        assert image[16:32, 18:23].max(axis=1).mean() > 0.4  # the block's left side
        assert image[22:26, 28:36].max() < 0.1  # its face

    @pytest.mark.parametrize("name", [name for name in ESTIMATED if name != "canny"])
    def test_weights_that_are_absent(self, tmp_path, name):
        with pytest.raises(InputError, match=r"(?s)no such file.*huggingface-cli download"):
            condition_image(name, make_frame(), detectors=Detectors(tmp_path))

    @pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04cut off"])
    def test_weights_that_are_broken(self, tmp_path, content):
        (tmp_path / "table5_pidinet.pth").write_bytes(content)
        with pytest.raises(InputError, match=r"(?s)table5_pidinet.*the weights of soft_edge_pidinet"):
            Detectors(tmp_path).image("soft_edge_pidinet", make_frame())


class TestLetterbox:
    def test_simuscopes_size(self):
        box = Letterbox(256, 320, 512)
        assert box.box == (51, 0, 410, 512)
        image = np.random.default_rng(0).random((32, 40, 3)).repeat(8, 0).repeat(8, 1).astype(np.float32)
        canvas = box.apply(image)
        assert canvas.shape == (512, 512, 3) and canvas.dtype == np.float32
        assert not canvas[:51].any() and not canvas[461:].any() and canvas[51:461].min(axis=2).any(axis=1).all()
        back = box.undo(canvas)
        assert back.shape == image.shape and np.abs(back - image).mean() < 0.02

    def test_many_channels_and_tall_frames(self):
        box = Letterbox(80, 40, 64)
        canvas = box.apply(np.ones((80, 40, 8), np.float32))
        assert canvas.shape == (64, 64, 8) and (canvas[:, 16:48] == 1).all() and canvas.sum() == 64 * 32 * 8
        with pytest.raises(ValueError, match=r"expected \[80, 40, C\]"):
            box.apply(np.ones((40, 80, 3), np.float32))


class TestPrompts:
    CONFIG = RestyleConfig(
        prompt="real laparoscopy",
        class_prompts={"grasper": "steel grasper", "liver": "dark liver", "fat": "yellow fat"},
        phase_prompts={"preparation": "clean field"},
    )
    TABLE = {"background": 0, "liver": 2, "fat": 4, "grasper": 5}

    def test_largest_first(self):
        frame = make_frame()
        assert frame_prompt(frame, self.CONFIG, self.TABLE) == "real laparoscopy, dark liver, steel grasper"
        frame.meta["phase"] = "preparation"
        assert frame_prompt(frame, self.CONFIG, self.TABLE).startswith("real laparoscopy, clean field, dark liver")
        frame.meta["phase"] = "an unnamed one"
        frame.class_map[:] = 5
        assert frame_prompt(frame, self.CONFIG, self.TABLE) == "real laparoscopy, steel grasper"

    def test_unknown_class(self):
        config = RestyleConfig(class_prompts={"livr": "dark"})
        with pytest.raises(InputError, match=r"(?s)class_prompts.*'livr'.*liver"):
            frame_prompt(make_frame(), config, self.TABLE)


class TestSettings:
    def test_simuscope_is_as_published(self, repository):
        """The preset's file against the published recipe."""
        content = yaml.safe_load((repository / "config" / "paper" / "simuscope.yaml").read_text())
        config = RestyleConfig.model_validate(content["restyle"])
        sampler = config.sampler
        assert (sampler.scheduler, sampler.steps, sampler.strength) == ("dpmpp_2m_karras", 20, 0.65)
        assert (sampler.guidance_scale, sampler.negative_prompt, sampler.reference_weight) == (7.0, "", 0.65)
        assert (config.canvas_px, config.prompt, config.consistency) == (512, "cholect45 style", "none")
        assert [(net.condition, net.weight) for net in config.controlnets] == [
            ("soft_edge_hed", 0.45),
            ("depth_estimated", 0.65),
        ]
        assert [lora.weight for lora in config.loras] == [0.45, 0.45]

    @pytest.mark.parametrize(
        "content, message",
        [
            ({"depth_range_mm": [200, 50]}, "near < far"),
            ({"loras": [{"weight": 0.5}]}, "expected a path"),
            ({"sampler": {"strength": 0}}, "greater than 0"),
            ({"sampler": {"tile_px": 100}}, "multiple of 64"),
            ({"controlnets": [{"condition": "thermal"}]}, "soft_edge"),
        ],
    )
    def test_refused(self, content, message):
        with pytest.raises(ValidationError, match=message):
            RestyleConfig.model_validate(content)
