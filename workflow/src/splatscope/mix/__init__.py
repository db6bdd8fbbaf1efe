"""Stage mix: an instrument of the other world laid into finished frames, by depth and with all labels."""

from splatscope.mix.stage import mix_shard

__all__ = ["mix_shard"]
