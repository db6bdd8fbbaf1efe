"""Datasets in the formats of the field.

`export_dataset` writes one; `source` reads what `annotate` made; each format is a module with
`write(dataset, folder, advance) -> Written`.
"""

from splatscope.exports.export import FORMATS, Exported, check_formats, export_dataset
from splatscope.exports.source import Dataset

__all__ = ["FORMATS", "Dataset", "Exported", "check_formats", "export_dataset"]
