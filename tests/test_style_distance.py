"""style_distance: formulas against torchmetrics and torch-fidelity, networks, style sets, names."""

import json

import cv2
import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from safetensors.numpy import save_file
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

import proof_material as material
from splatscope.config.restyle_proof import ProofConfig
from splatscope.errors import InputError
from splatscope.files import sha256, write_bytes
from splatscope.images import encode_png
from splatscope.restyle import style_features
from splatscope.restyle.style_distance import (
    distance_names,
    diversity,
    feature_diversity,
    frechet_distance,
    kernel_distance,
    load_style_set,
)
from splatscope.restyle.style_features import (
    EfficientNetLite0,
    Inception2015,
    StyleFeatures,
    load_feature_network,
    load_style_features,
    measure_style,
    within_view,
)
from splatscope.shards import Frame

RNG = np.random.default_rng(5)


def random_features(count: int, dimensions: int = 24, shift: float = 0.0) -> np.ndarray:
    mixing = np.random.default_rng(count).normal(size=(dimensions, dimensions))
    return (RNG.normal(size=(count, dimensions)) @ mixing + shift).astype(np.float32)


# --- formulas


@pytest.mark.parametrize("counts", [(200, 300), (10, 40), (12, 9)], ids=["full rank", "one deficient", "both"])
def test_frechet_distance_agrees_with_torch_fidelity_and_torchmetrics(counts):
    first, second = random_features(counts[0]), random_features(counts[1], shift=0.5)
    found = frechet_distance(first, second)
    statistics = [fid_features_to_statistics(torch.from_numpy(item.astype(np.float64))) for item in (first, second)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert found == pytest.approx(expected, rel=1e-4)
    moments = [value for item in (first, second) for value in (item.mean(0), np.cov(item, rowvar=False))]
    tensors = [torch.from_numpy(np.asarray(value, np.float64)) for value in moments]
    assert found == pytest.approx(float(_compute_fid(*tensors)), rel=1e-4)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-3 * found)


def test_kernel_distance_agrees_with_torchmetrics_and_is_unbiased():
    first, second = random_features(40), random_features(40, shift=0.3)
    # subsets of all there are: each is the same set in another order
    found, deviation = kernel_distance(first, second, subset_size=40, subsets=3)
    expected = float(poly_mmd(torch.from_numpy(first).double(), torch.from_numpy(second).double()))
    assert found == pytest.approx(expected, rel=1e-4) and deviation == pytest.approx(0, abs=1e-4 * abs(found))
    pool = random_features(2000)
    same = [kernel_distance(pool[i : i + 50], pool[i + 1000 : i + 1050], subset_size=50, subsets=1)[0] for i in
            range(0, 1000, 50)]  # fmt: skip
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(len(same))
    assert kernel_distance(first, second, subset_size=20, seed=1) == kernel_distance(
        first, second, subset_size=20, seed=1
    )


def test_features_that_do_not_fit_are_refused():
    for pair in ((random_features(1), random_features(5)), (random_features(5), random_features(5, 12))):
        with pytest.raises(ValueError, match="expected features"):
            frechet_distance(*pair)
        with pytest.raises(ValueError, match="expected features"):
            kernel_distance(*pair)


def test_diversity_is_the_mean_over_pairs():
    images = [np.full((4, 4, 3), value, np.float32) for value in (0.0, 0.2, 0.8)]

    def difference(first, second):
        return float(np.abs(first - second).mean())

    assert diversity(images, difference, pairs=3000) == pytest.approx((0.2 + 0.6 + 0.8) / 3, abs=0.02)
    assert diversity(images, difference, pairs=5, seed=1) == diversity(images, difference, pairs=5, seed=1)
    assert np.isnan(diversity(images[:1], difference))
    features = np.array([[1, 0], [0, 2], [0, 5]], np.float32)
    assert feature_diversity(features) == pytest.approx(2 / 3) and np.isnan(feature_diversity(features[:1]))


# --- networks


@pytest.fixture(scope="module")
def network():
    return EfficientNetLite0()


def test_efficientnet_features_are_those_before_its_classifier(network, shared_data):
    path = sorted((shared_data / "fox" / "images").iterdir())[0]
    photograph = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    height, width = photograph.shape[:2]
    square = photograph[(height - width) // 2 :][:width]
    features = network([square])
    assert features.shape == (1, 1280) and features.dtype == np.float32
    classes = network.network._fc(torch.from_numpy(features)).softmax(-1)[0]
    assert classes[275:282].sum() > 0.5  # ImageNet's wild dogs, foxes and tabby cats: scaled otherwise it sees less


def test_features_do_not_depend_on_how_images_are_batched(network):
    images = [material.frame(index).rgb for index in range(3)] + [np.zeros((40, 50, 3), np.uint8)]
    together = network(images)
    alone = np.concatenate([network([image]) for image in images])
    assert together == pytest.approx(alone, abs=1e-4) and network([]).shape == (0, 1280)
    with pytest.raises(ValueError, match="uint8"):
        network([np.zeros((4, 4, 3), np.float32)])


def test_a_distance_has_its_standard_name_over_inception_only(network):
    assert distance_names(network) == (
        "Fréchet distance (EfficientNet-Lite0, ImageNet)",
        "kernel distance (EfficientNet-Lite0, ImageNet)",
    )
    inception = object.__new__(Inception2015)
    assert distance_names(inception) == ("FID", "KID")


class FreshInception(FeatureExtractorInceptionV3):
    """The extractor with random weights."""

    def load_state_dict(self, state_dict, *_, **__):
        return None


def test_inception_is_taken_from_its_own_file_only(tmp_path, monkeypatch):
    torch.save({}, tmp_path / "empty.pth")
    torch.manual_seed(0)
    fresh = FreshInception("inception", ["2048"], feature_extractor_weights_path=str(tmp_path / "empty.pth"))
    path = tmp_path / "inception.pth"
    torch.save(fresh.state_dict(), path)
    with pytest.raises(InputError, match=r"weights-inception-2015-12-05-6726825d\.pth"):
        load_feature_network(path)
    with pytest.raises(InputError, match="no such file"):
        load_feature_network(tmp_path / "missing.pth")
    monkeypatch.setattr(style_features, "INCEPTION_SHA256_START", sha256(path)[:8])
    image = material.frame(0).rgb
    features = load_feature_network(path)([image])
    expected = fresh(torch.from_numpy(image).permute(2, 0, 1)[None])[0].numpy()
    assert features.shape == (1, 2048) and (features == expected).all()


def test_pickled_objects_are_not_loaded_even_under_the_right_checksum(tmp_path, monkeypatch):
    path = tmp_path / "objects.pth"
    torch.save({"weight": material.NearestColour}, path)
    monkeypatch.setattr(style_features, "INCEPTION_SHA256_START", sha256(path)[:8])
    with pytest.raises(InputError, match="no plain weights"):
        load_feature_network(path)


def test_the_weights_in_the_package_are_the_known_ones(network, monkeypatch):
    assert type(load_feature_network(None)) is EfficientNetLite0
    assert EfficientNet.get_image_size("efficientnet-lite0") == style_features.EFFICIENTNET_SIZE
    monkeypatch.setattr(style_features, "EFFICIENTNET_SHA256_START", "0")
    with pytest.raises(InputError, match="SHA-256"):
        EfficientNetLite0()


# --- style sets


@pytest.fixture
def folder(tmp_path):
    for index in range(4):
        write_bytes(tmp_path / "real" / f"{index}.png", encode_png(material.frame(index).rgb))
    (tmp_path / "real" / "notes.txt").write_text("not an image")
    return tmp_path / "real"


def test_a_style_set_is_measured_stored_and_read(folder, network, tmp_path):
    style = measure_style(sorted(folder.glob("*.png")), network, crop=(10, 0, 100, 90), provenance={"licence": "MIT"})
    crops = [material.frame(index).rgb[:90, 10:110] for index in range(4)]
    assert style.features == pytest.approx(network(crops), abs=1e-5)
    assert style.provenance["licence"] == "MIT" and style.provenance["files"]["2.png"] == sha256(folder / "2.png")
    style.save(tmp_path / "style.safetensors")
    again = load_style_features(tmp_path / "style.safetensors", network)
    assert again.provenance == style.provenance and again.features.dtype == np.float32
    assert again.features == pytest.approx(style.features, rel=1e-3, abs=1e-4)
    assert len(load_style_features(folder, network).features) == 4


def test_distances_of_a_style_set_say_what_they_are(folder):
    style = load_style_set(ProofConfig(style_frames=str(folder), kernel_subset_size=100, kernel_subsets=5))
    near = style.distance([material.frame(index).rgb for index in range(10, 14)], seed=0)
    far = style.distance([255 - material.frame(index).rgb for index in range(10, 14)], seed=0)
    assert near["style_distance"] < 0.5 * far["style_distance"]
    assert near["frechet_distance"] < 0.5 * far["frechet_distance"]
    assert near["style_distance_name"] == "kernel distance (EfficientNet-Lite0, ImageNet)"
    assert near["subset_size"] == near["style_images"] == 4 and "rank deficient" in near["style_remark"]
    assert json.dumps(near, allow_nan=False)


@pytest.mark.parametrize("damage", ["missing", "one image", "broken", "other network", "plain", "no image", "small"])
def test_a_style_set_that_cannot_be_used_is_refused(folder, network, tmp_path, damage):
    source, crop = tmp_path / "style.safetensors", None
    match damage:
        case "one image":
            source = tmp_path / "one"
            write_bytes(source / "a.png", encode_png(material.frame(0).rgb))
        case "broken":
            source.write_bytes(b"none")
        case "other network":
            StyleFeatures(random_features(5), "another", {}).save(source)
        case "plain":
            save_file({"features": random_features(5)}, source)
        case "no image":
            source = folder
            (folder / "5.png").write_bytes(b"none")
        case "small":
            source, crop = folder, (0, 0, 2000, 10)
    with pytest.raises(InputError) as caught:
        if crop:
            measure_style(sorted(source.glob("*.png")), network, crop=crop)
        else:
            load_style_features(source, network)
    assert caught.value.remedy and caught.value.expected


def test_round_views_are_cropped_to_what_they_show():
    height, width = 256, 320
    y, x = np.mgrid[:height, :width]
    view = {"x": 150.0, "y": 120.0, "radius": 170.0}
    inside = np.hypot(x - view["x"], y - view["y"]) <= view["radius"]
    image = (inside[..., None] * np.full(3, 200)).astype(np.uint8)
    frame = Frame("000000", image, {"round_view": view})
    shown = within_view(frame)
    assert (shown == 200).mean() > 0.999 and shown.shape[0] * shown.shape[1] > 0.5 * height * width
    assert shown.shape[1] / shown.shape[0] == pytest.approx(width / height, abs=0.02)
    assert within_view(Frame("000000", image, {"round_view": None})) is image
    assert (within_view(frame, 255 - image) == 55).mean() > 0.999
