"""A picture of random frames of all episodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from splatscope.files import read_json, write_bytes
from splatscope.images import contact_sheet, encode_jpeg
from splatscope.shards import manifest_path, read_shard


def write_contact_sheet(shards: Sequence[str | Path], count: int, columns: int, seed: int, out: str | Path) -> None:
    """A JPEG of `count` frames chosen at random from all shards, in their order."""
    frames = [(shard, key) for shard in shards for key in read_json(manifest_path(shard))["frames"]]
    picked = np.random.default_rng([seed, 701]).permutation(len(frames))[:count]
    wanted = {shard: {key for other, key in map(frames.__getitem__, picked) if other == shard} for shard in shards}
    images = [frame.rgb for shard in shards for frame in read_shard(shard, maps=(), keys=wanted[shard])]
    write_bytes(out, encode_jpeg(contact_sheet(images, columns, images[0].shape[1]), 90))
