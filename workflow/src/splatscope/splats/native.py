"""stub"""


def available() -> bool:
    return False


def require() -> None:
    raise RuntimeError("the C++ rasterizer was not built")
