"""MuJoCo's flex with the implicit "discrete" integrator: mujoco_flex.py BODY.npz. Runs in the peers' environment.

`candidates` are settings in the order of their cost. Stable Neo-Hookean tissue is an experimental option of its model
specification; the law of MJCF files is Saint Venant-Kirchhoff's, which is stiffer when stretched. It warns in every
step that its solve did not converge, with 100 iterations too; from 20 on the sag no longer changes.
"""

from __future__ import annotations

import sys

import mujoco
import numpy as np
from worker import hanging, serve

LAWS = {"Saint Venant-Kirchhoff": 0, "stable Neo-Hookean": 1}
CANDIDATES = [(1, 5), (1, 10), (1, 20), (2, 20), (4, 20), (8, 20)]


def main() -> None:
    body = dict(np.load(sys.argv[1]))
    models = {}

    def model(setting: dict) -> mujoco.MjModel:
        key = tuple(setting.values())
        if key not in models:
            models[key] = _model(body, **setting)
        return models[key]

    def work(asked: dict):
        compiled, frames, substeps = model(asked["setting"]), round(60 * asked["seconds"]), asked["setting"]["substeps"]
        data = mujoco.MjData(compiled)
        return lambda: _positions(compiled, data, frames, substeps), lambda seen: hanging(seen, body)

    candidates = [{"substeps": substeps, "iterations": iterations} for substeps, iterations in CANDIDATES]
    serve({"version": f"MuJoCo {mujoco.__version__} flex", "candidates": candidates, "laws": list(LAWS)}, work)


def _model(body: dict, law: str, substeps: int, iterations: int) -> mujoco.MjModel:
    corners = body["vertices"][body["tets"]]
    volume = np.linalg.det(corners[:, 1:] - corners[:, :1]).sum() / 6
    values = {"point": body["vertices"].ravel(), "element": body["tets"].ravel(), "gravity": body["gravity"]}
    values["pin"] = np.flatnonzero(body["fixed"])
    text = {name: " ".join(map(repr, value.tolist())) for name, value in values.items()}
    spec = mujoco.MjSpec.from_string(
        f"""<mujoco>
        <option timestep="{1 / 60 / substeps}" gravity="{text["gravity"]}" integrator="discrete" solver="CG"
          iterations="{iterations}" tolerance="1e-6"/>
        <size memory="2G"/>
        <worldbody>
          <flexcomp name="body" type="direct" dim="3" mass="{volume * float(body["density"])}" radius="0.0005"
            point="{text["point"]}" element="{text["element"]}">
            <contact selfcollide="none" contype="0" conaffinity="0"/>
            <elasticity young="{float(body["young"])}" poisson="{float(body["poisson"])}" damping="0"/>
            <pin id="{text["pin"]}"/>
          </flexcomp>
        </worldbody>
        </mujoco>"""
    )
    spec.flexes[0].elastic3d = LAWS[law]
    return spec.compile()


def _positions(model: mujoco.MjModel, data: mujoco.MjData, frames: int, substeps: int) -> list[np.ndarray]:
    """Positions [V, 3] after every frame."""
    seen = []
    for _ in range(frames):
        for _ in range(substeps):
            mujoco.mj_step(model, data)
        seen.append(np.array(data.flexvert_xpos).reshape(-1, 3))
    return seen


if __name__ == "__main__":
    main()
