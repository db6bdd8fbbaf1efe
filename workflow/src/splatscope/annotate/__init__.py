"""annotate: from frame shards to the dataset that people train on.

`annotate_dataset` is the stage; `records` decides what becomes an annotation, `coco`, `yolo` and `card` write it down.
"""

from splatscope.annotate.dataset import annotate_dataset

__all__ = ["annotate_dataset"]
