"""Newton's vertex block descent (SolverVBD, stable Neo-Hookean) on the CPU: newton_vbd.py BODY.npz

Runs in the peers' environment. Stable at any step, but what it has not converged to in a step is lost: few iterations
make tissue too soft. `candidates` are settings in the order of their cost.
"""

from __future__ import annotations

import sys

import newton
import numpy as np
import warp as wp
from worker import hanging, serve

CANDIDATES = [(1, 5), (5, 2), (10, 1), (12, 1), (8, 2), (16, 1), (18, 1), (9, 2), (20, 1), (10, 2), (5, 5), (20, 2)]


def main() -> None:
    wp.config.enable_backward = False
    body = dict(np.load(sys.argv[1]))
    model = _model(body)
    solvers = {}

    def solver(iterations: int):
        if iterations not in solvers:
            solvers[iterations] = newton.solvers.SolverVBD(model, iterations=iterations)
            _positions(model, solvers[iterations], 1, 1, 1e-5)  # compiles
        return solvers[iterations]

    def work(asked: dict):
        setting, frames = asked["setting"], round(60 * asked["seconds"])
        solve, substeps = solver(setting["iterations"]), setting["substeps"]
        return (
            lambda: _positions(model, solve, frames, substeps, 1 / 60 / substeps),
            lambda seen: hanging(seen, body),
        )

    candidates = [{"substeps": substeps, "iterations": iterations} for substeps, iterations in CANDIDATES]
    serve({"version": f"Newton {newton.__version__} VBD", "candidates": candidates}, work)


def _model(body: dict) -> newton.Model:
    young, poisson = float(body["young"]), float(body["poisson"])
    builder = newton.ModelBuilder(up_axis=newton.Axis.Y, gravity=tuple(map(float, body["gravity"])))
    builder.add_soft_mesh(
        pos=wp.vec3(),
        rot=wp.quat_identity(),
        scale=1.0,
        vel=wp.vec3(),
        vertices=[wp.vec3(*vertex) for vertex in body["vertices"]],
        indices=body["tets"].ravel().tolist(),
        density=float(body["density"]),
        k_mu=young / (2 * (1 + poisson)),
        k_lambda=young * poisson / ((1 + poisson) * (1 - 2 * poisson)),
        k_damp=0.0,
    )
    for vertex in np.flatnonzero(body["fixed"]):
        builder.particle_mass[vertex] = 0.0
    builder.color()
    return builder.finalize(device="cpu")


def _positions(model: newton.Model, solver, frames: int, substeps: int, step_s: float) -> list[np.ndarray]:
    """Positions [V, 3] after every frame, from the rest shape."""
    now, then, control, seen = model.state(), model.state(), model.control(), []
    for _ in range(frames):
        for _ in range(substeps):
            now.clear_forces()
            solver.step(now, then, control, None, step_s)
            now, then = then, now
        seen.append(now.particle_q.numpy().copy())
    return seen


if __name__ == "__main__":
    main()
