"""What a frame's prompt says: the style, the phase of the operation, what is to be seen."""

from __future__ import annotations

import numpy as np

from splatscope.config.restyle import RestyleConfig
from splatscope.errors import InputError
from splatscope.shards import Frame

_SEEN = 0.01  # share of the frame from which a class is worth a word


def frame_prompt(frame: Frame, config: RestyleConfig, class_table: dict[str, int]) -> str:
    """config.prompt, the words for the frame's phase, and those for its classes, largest first.

    Raises InputError for words given to a class that the table (ids by name) does not have.
    """
    unknown = [name for name in config.class_prompts if name not in class_table]
    if unknown:
        raise InputError(
            "restyle.class_prompts",
            found=repr(unknown[0]),
            expected=f"a class of the table: {', '.join(class_table)}",
            remedy="correct the name",
        )
    parts = [config.prompt, config.phase_prompts.get(frame.meta.get("phase", ""), "")]
    if frame.class_map is not None and config.class_prompts:
        shares = np.bincount(frame.class_map.ravel(), minlength=256) / frame.class_map.size
        seen = {name: shares[class_table[name]] for name in config.class_prompts}
        parts += [
            config.class_prompts[name] for name in sorted(seen, key=seen.get, reverse=True) if seen[name] >= _SEEN
        ]
    return ", ".join(part for part in parts if part)
