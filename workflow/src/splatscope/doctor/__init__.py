"""What is installed here, what is missing, and what will be slow."""

from splatscope.doctor.check import Check, State
from splatscope.doctor.machine import check_disk, check_gpu, check_memory, check_processor
from splatscope.doctor.slow import SlowRule, slow_rules
from splatscope.doctor.software import (
    check_codecs,
    check_colmap,
    check_fonts,
    check_packages,
    check_pins,
    check_programs,
    check_python,
    check_rasterizer,
)
from splatscope.doctor.weights import check_weights

__all__ = [
    "Check",
    "SlowRule",
    "State",
    "check_codecs",
    "check_colmap",
    "check_disk",
    "check_fonts",
    "check_gpu",
    "check_memory",
    "check_packages",
    "check_pins",
    "check_processor",
    "check_programs",
    "check_python",
    "check_rasterizer",
    "check_weights",
    "slow_rules",
]
