"""Tissue physics: deformable organs in extended position-based dynamics (XPBD) that instruments push, grasp, cut, clip
and heat. The same code runs on the CPU and on CUDA.

    tissue = Tissue([Body("liver", mesh, TissueMaterial(young_kpa=5), classes, fixed)])
    events = tissue.advance(1 / 60, {"left": tool_state})

Units: mm, gram, second; so stresses are in Pa, forces in 1e-6 N, and gravity is 9810 mm/s^2.
"""
