"""SplatScope: annotated surgical images from recordings, by Gaussian splatting."""

__version__ = "0.1.0"
