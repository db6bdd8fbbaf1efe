"""The C++ rasterizer and image loss (float32, CPU), called through ctypes; sources in engine/."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_void_p
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch

from splatscope.splats.gaussians import Gaussians

_INPUTS = ("means", "quaternions", "log_scales", "opacity_logits", "sh", "light", "features", "mean_offsets")


class _Model(ctypes.Structure):
    _fields_ = [
        ("count", c_int64),
        ("coefficients", c_int32),
        ("features_per_gaussian", c_int32),
        *((name, c_void_p) for name in _INPUTS),
    ]


class _View(ctypes.Structure):
    _fields_ = [
        *((name, c_int32) for name in ("width", "height", "sh_degree", "threads")),
        ("camera_from_world", c_float * 12),
        *((name, c_float) for name in ("fx", "fy", "cx", "cy", "near_plane")),
        ("background", c_float * 3),
    ]


class _Gradients(ctypes.Structure):
    _fields_ = [
        *((name, c_void_p) for name in (*_INPUTS, "absolute_offsets")),
        ("camera_from_world", POINTER(c_double)),
    ]


class _AdamTask(ctypes.Structure):
    _fields_ = [
        ("rows", c_int64),
        *((name, c_int32) for name in ("row", "head", "active")),
        *(
            (name, c_float)
            for name in ("rate", "tail_rate", "tail_decay", "beta1", "beta2", "epsilon", "correction1", "correction2")
        ),
        *((name, c_void_p) for name in ("value", "first", "second", "gradient", "seen")),
    ]


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_native{suffix}")
        if path.exists():
            library = ctypes.CDLL(str(path))
            break
    else:
        return None
    library.splat_keep_memory()
    library.splat_new_frame.restype = c_void_p
    library.splat_delete_frame.argtypes = [c_void_p]
    library.splat_kernels.restype = c_char_p
    library.splat_use_kernels.argtypes = [c_char_p]
    library.splat_forward.argtypes = [c_void_p, POINTER(_Model), POINTER(_View)] + [c_void_p] * 5
    library.splat_backward.argtypes = [c_void_p, POINTER(_Model)] + [c_void_p] * 4 + [POINTER(_Gradients)]
    library.splat_backward.restype = None
    library.splat_image_loss.argtypes = [c_void_p] * 3 + [c_int] * 3 + [c_float, c_int, c_void_p]
    library.splat_image_loss.restype = c_double
    library.splat_depth_variance.argtypes = [c_void_p] * 3 + [c_int64, c_float] + [c_void_p] * 3
    library.splat_depth_variance.restype = c_double
    library.splat_adam.argtypes = [POINTER(_AdamTask), c_int]
    library.splat_adam.restype = None
    return library


def available() -> bool:
    """Whether the extension was built at installation."""
    return _library() is not None


def require() -> None:
    """RuntimeError unless the extension was built."""
    if not available():
        raise RuntimeError("the C++ rasterizer was not built: install g++ and run `pip install -e .` again")


def kernels() -> str:
    """Instruction set in use: "avx512", "avx2" or "baseline"."""
    return _library().splat_kernels().decode()


def use_kernels(name: str) -> bool:
    """Use the code for another instruction set (for tests); False when this processor lacks it."""
    return bool(_library().splat_use_kernels(name.encode()))


class _Frame:
    """Buffers of one drawn view. They go back to a free list, because allocating them costs more than drawing."""

    _free: list[int] = []

    def __init__(self):
        try:  # several threads draw at once: asking first whether one is free would race
            self.pointer = self._free.pop()
        except IndexError:
            self.pointer = _library().splat_new_frame()

    def __del__(self):
        if len(self._free) < 4:
            self._free.append(self.pointer)
        elif (library := _library()) is not None:
            library.splat_delete_frame(self.pointer)


def rasterize(
    gaussians: Gaussians,
    camera_from_world: torch.Tensor,
    intrinsics: torch.Tensor,
    width: int,
    height: int,
    features: torch.Tensor | None,
    sh_degree: int,
    near_plane: float,
    mean_offsets: torch.Tensor | None,
    contributors: bool = False,
    absgrad: torch.Tensor | None = None,
    background: torch.Tensor | None = None,
    threads: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor | None]:
    """As reference.rasterize, for float32 tensors on the CPU, over `background` [3].

    `absgrad` [N, 2] float32 is filled by the backward pass, see rasterizer.render.
    """
    for name in ("means", "quaternions", "log_scales", "opacity_logits", "sh", "light"):
        value = getattr(gaussians, name)
        if value is not None and (value.dtype != torch.float32 or value.device.type != "cpu"):
            raise ValueError(f"the native backend expects {name} float32 on the CPU, got {value.dtype} {value.device}")
    if features is not None and not 1 <= features.shape[1] <= 60:
        raise ValueError(f"the native backend draws 1 to 60 features, got {features.shape[1]}")
    return _Rasterize.apply(
        gaussians.means,
        gaussians.quaternions,
        gaussians.log_scales,
        gaussians.opacity_logits,
        gaussians.sh,
        gaussians.light,
        features,
        mean_offsets,
        camera_from_world,
        background,
        intrinsics,
        (width, height, sh_degree, near_plane, threads or torch.get_num_threads()),
        contributors,
        absgrad,
    )


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *arguments):
        ctx.set_materialize_grads(False)
        *values, pose, background, intrinsics, view, contributors, absgrad = arguments
        width, height, sh_degree, near_plane, threads = view
        if not (torch.isfinite(pose).all() and torch.isfinite(intrinsics).all()):
            raise ValueError("NaN or infinity in camera_from_world or intrinsics")
        values = [None if value is None else value.detach().float().contiguous() for value in values]
        view = _View(width, height, sh_degree, threads)
        view.camera_from_world[:] = pose[:3].flatten().tolist()
        view.fx, view.fy, view.cx, view.cy = (float(intrinsics[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
        view.near_plane = near_plane
        view.background[:] = [0, 0, 0] if background is None else background.tolist()

        # with the leading axis of one camera: adding it later would cost a copy of the gradient
        color, alpha, depth = (torch.empty(1, *more, height, width) for more in ((3,), (), ()))
        features = values[_INPUTS.index("features")]
        blended = None if features is None else torch.empty(1, features.shape[1], height, width)
        contributor = torch.empty(1, height, width, dtype=torch.int32) if contributors else None
        ctx.frame = _Frame()
        invalid = _library().splat_forward(
            ctx.frame.pointer,
            _model(values),
            view,
            color.data_ptr(),
            depth.data_ptr(),
            _pointer(blended),
            alpha.data_ptr(),
            _pointer(contributor),
        )
        if invalid:
            raise ValueError("NaN or infinity in the Gaussians or their features")
        ctx.save_for_backward(*values, alpha)
        ctx.pose_shape, ctx.pose_dtype, ctx.absgrad = pose.shape, pose.dtype, absgrad
        if contributor is not None:
            ctx.mark_non_differentiable(contributor)
        blended = None if blended is None else blended.permute(0, 2, 3, 1)
        return color.permute(0, 2, 3, 1), depth, blended, alpha, contributor

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, by_color, by_depth, by_features, by_alpha, _):
        *values, alpha = ctx.saved_tensors
        incoming = [
            None if by_color is None else by_color.permute(0, 3, 1, 2),
            by_depth,
            None if by_features is None else by_features.permute(0, 3, 1, 2),
            by_alpha,
        ]
        incoming = [None if value is None else value.float().contiguous() for value in incoming]
        gradients = [
            torch.empty_like(value) if needed and value is not None else None
            for value, needed in zip(values, ctx.needs_input_grad)
        ]
        pose = (c_double * 12)() if ctx.needs_input_grad[len(_INPUTS)] else None
        _library().splat_backward(
            ctx.frame.pointer,
            _model(values),
            *(_pointer(value) for value in incoming),
            _Gradients(*(_pointer(value) for value in (*gradients, ctx.absgrad)), pose),
        )
        by_pose = None
        if pose is not None:
            by_pose = torch.zeros(ctx.pose_shape, dtype=ctx.pose_dtype)
            by_pose[:3] = torch.tensor(list(pose), dtype=ctx.pose_dtype).view(3, 4)
        by_background = None
        if ctx.needs_input_grad[len(_INPUTS) + 1] and by_color is not None:
            by_background = torch.einsum("ihw,ihwc->c", 1 - alpha, by_color)
        return (*gradients, by_pose, by_background, None, None, None, None)


def image_loss(
    image: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None, ssim_weight: float, threads: int
) -> tuple[float, torch.Tensor]:
    """(1 - w) L1 + w (1 - SSIM) of planar float32 images [3, H, W] and its gradient by `image`; see losses.py."""
    planes, height, width = image.shape
    gradient = torch.empty_like(image)
    loss = _library().splat_image_loss(
        image.data_ptr(),
        target.data_ptr(),
        _pointer(mask),
        planes,
        height,
        width,
        ssim_weight,
        threads,
        gradient.data_ptr(),
    )
    return loss, gradient


def depth_variance(
    alpha: torch.Tensor, depth: torch.Tensor, squares: torch.Tensor, extent: float
) -> tuple[float, list[torch.Tensor]]:
    """Of contiguous float32 images of one size, and its gradients by the three; see losses.py."""
    gradients = [torch.empty_like(alpha) for _ in range(3)]
    inputs = [value.data_ptr() for value in (alpha, depth, squares)]
    value = _library().splat_depth_variance(
        *inputs, alpha.numel(), extent, *(gradient.data_ptr() for gradient in gradients)
    )
    return value, gradients


def adam(
    value,
    gradient,
    first,
    second,
    *,
    head,
    active,
    rate,
    tail_rate,
    tail_decay,
    betas,
    epsilon,
    step,
    threads,
    seen=None,
) -> None:
    """One step of Adam in place on contiguous float32 tensors [rows, columns]; see optimizer.py.

    Rows where `seen` [rows] (bool) is False are left alone.
    """
    task = _AdamTask(
        *value.shape,
        head,
        active,
        rate,
        tail_rate,
        tail_decay,
        *betas,
        epsilon,
        *(1 - beta**step for beta in betas),
        *(tensor.data_ptr() for tensor in (value, first, second, gradient)),
        _pointer(seen),
    )
    _library().splat_adam(task, threads)


def _pointer(value: torch.Tensor | None) -> int | None:
    return None if value is None else value.data_ptr()


def _model(values) -> _Model:
    means, sh, features = values[0], values[4], values[6]
    return _Model(
        len(means), sh.shape[1], 0 if features is None else features.shape[1], *(_pointer(value) for value in values)
    )
