"""Instruments of laparoscopic surgery: parametric rigid links, joints, keypoints, and how they pass a trocar."""

from splatscope.meshes.instruments.clip import CLIP, LigatingClip
from splatscope.meshes.instruments.clip_applier import CLIP_APPLIER, ClipApplier
from splatscope.meshes.instruments.grasper import GRASPER, Grasper
from splatscope.meshes.instruments.hook import HOOK, HookElectrode
from splatscope.meshes.instruments.instrument import Instrument
from splatscope.meshes.instruments.maryland import MarylandForceps
from splatscope.meshes.instruments.needle_driver import NEEDLE_DRIVER, NeedleDriver
from splatscope.meshes.instruments.scissors import SCISSORS, Scissors

__all__ = [
    "CLIP",
    "CLIP_APPLIER",
    "GRASPER",
    "HOOK",
    "NEEDLE_DRIVER",
    "SCISSORS",
    "ClipApplier",
    "Grasper",
    "HookElectrode",
    "Instrument",
    "LigatingClip",
    "MarylandForceps",
    "NeedleDriver",
    "Scissors",
]
