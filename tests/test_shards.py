import tarfile

import numpy as np
import pytest

from shard_material import some_frame
from splatscope import shards
from splatscope.errors import InputError
from splatscope.shards import Frame


def test_round_trip(tmp_path):
    written = [some_frame("000001"), some_frame("000002")]
    shards.write_shard(tmp_path / "a.tar", written, {"licence": "test"})
    read = list(shards.read_shard(tmp_path / "a.tar"))
    assert [frame.key for frame in read] == ["000001", "000002"]
    for name in ("rgb", "class_map", "instance_map", "amodal_bits", "alpha"):
        np.testing.assert_array_equal(getattr(read[0], name), getattr(written[0], name))
    np.testing.assert_allclose(read[0].depth_mm, written[0].depth_mm, atol=shards.DEPTH_UNIT_MM / 2 + 1e-4)
    for name, units in {
        "normals": [1 / 32767] * 3,
        "flow_forward": [1 / 32, 1 / 32, 0],
        "flow_backward": [1 / 32, 1 / 32, 0],
        "surface_points": [0, *[shards.POINT_UNIT_MM] * 3],
    }.items():
        error = np.abs(getattr(read[0], name) - getattr(written[0], name))
        assert (error <= np.array(units) / 2 + 1e-4).all(), name
    assert read[0].meta == {"frame": 1}


def test_time_does_not_change_the_bytes(tmp_path):
    for name in ("a", "b"):
        shards.write_shard(tmp_path / f"{name}.tar", [some_frame("000001"), some_frame("000002")])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == sorted(tar.getnames())


def test_masks_of_an_instance():
    frame = some_frame("000001")
    np.testing.assert_array_equal(frame.visible_mask(2), frame.instance_map == 2)
    np.testing.assert_array_equal(frame.amodal_mask(2), frame.amodal_bits & 2 != 0)


def test_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"expected class_map uint8 \[6, 8\], got uint8 \[5, 8\]"):
        Frame("000001", np.zeros((6, 8, 3), np.uint8), class_map=np.zeros((5, 8), np.uint8))


@pytest.mark.parametrize("keys", [("000001", "000001"), ("000002", "000001")])
def test_frames_out_of_order_are_refused(tmp_path, keys):
    with pytest.raises(ValueError, match=f"got 000001 after {keys[0]}"):
        shards.write_shard(tmp_path / "a.tar", [some_frame(key) for key in keys])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "not a tar"])
def test_damage_is_found(tmp_path, damage):
    path = tmp_path / "a.tar"
    shards.write_shard(path, [some_frame("000001"), some_frame("000002")])
    content = path.read_bytes()
    path.write_bytes(
        {
            "truncated": content[:2000],
            "flipped": content[:700] + bytes([content[700] ^ 1]) + content[701:],
            "empty": b"",
            "not a tar": b"x" * 3000,
        }[damage]
    )
    with pytest.raises(InputError, match=r"a\.tar"):
        shards.verify_shard(path)
    if damage != "flipped":  # a flipped bit may still decode: that is what the manifest is for
        with pytest.raises(InputError, match=r"a\.tar"):
            list(shards.read_shard(path))


@pytest.mark.parametrize("cut", [100, 512, 1000])
def test_a_shard_cut_inside_a_header_is_not_taken_for_a_shorter_one(tmp_path, cut):
    path = tmp_path / "a.tar"
    shards.write_shard(path, [some_frame("000001"), some_frame("000002")])
    with tarfile.open(path) as tar:
        start = next(info.offset for info in tar if info.name.startswith("000002"))
    path.write_bytes(path.read_bytes()[: start + cut])
    with pytest.raises(InputError, match=r"1 frames, the last 000001|unexpected end|000002"):
        list(shards.read_shard(path))


def test_an_empty_shard_is_one(tmp_path):
    shards.write_shard(tmp_path / "a.tar", [])
    assert list(shards.read_shard(tmp_path / "a.tar")) == []
