"""How stable the tissue physics is: random scenarios of grasping, pulling, pushing, cutting and heating.

    python bench/sim_stability.py --scenarios 200 --processes 2

Each scenario is 10 s of one or two organs with Young's moduli of 3 to 50 kPa, gravity tilted at random, and a surgeon
with two instruments who grasps at random places, pulls by 5 to 40 mm, lets go, and presses a rod into the tissue by up
to 5 mm; in every third one the second instrument cuts, clips and heats instead. Prints a table and writes
results/bench/sim_stability.json. Volume errors are of the bodies of scenarios in which nothing was cut, clipped or
heated, against their unloaded volume.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from splatscope.files import write_json
from splatscope.geometry import make_transform
from splatscope.meshes import distance_fields as sdf
from splatscope.meshes.instruments.tool_state import Blade, ToolState
from splatscope.meshes.tetrahedra import TetMesh, stuff
from splatscope.simulate.tissue.body import Body, Bonds, TissueMaterial
from splatscope.simulate.tissue.settings import CYSTIC_DUCT, LIVER, TissueSettings
from splatscope.simulate.tissue.tissue import Tissue

SECONDS, FRAMES_PER_S = 10, 60
APART_MM = 15.0  # of the instruments: real ones do not pass through each other
CYCLE = 100  # frames from one approach of the instruments to the next
GALLBLADDER = 10
ROD_MM, TIP_MM = 2.5, 5.5  # radius of an instrument's rod; from its round tip to the point where it acts
MARGIN_MM = 1.5  # that its way to the tissue keeps from other tissue
FROM_ANCHOR_MM = 10.0  # nearer to where an organ is fixed nobody takes hold of it, to pull it by up to 40 mm


def liver(rng: np.random.Generator) -> TetMesh:
    radii = np.array([40, 28, 14], np.float32) * rng.uniform(0.8, 1.2, 3).astype(np.float32)
    return stuff(lambda points: sdf.ellipsoid(points, (0, 0, -radii[2]), radii), *_box(radii, -radii[2]), 9.0)


def _box(radii, height) -> tuple[np.ndarray, np.ndarray]:
    return np.array([0, 0, height]) - radii - 9, np.array([0, 0, height]) + radii + 9


def gallbladder(rng: np.random.Generator) -> TetMesh:
    """A pear with a duct that comes to lie on top of the liver."""
    radius = rng.uniform(8, 11)
    path = sdf.curve(np.array([[-6, 0, radius + 1], [-14, 2, 8], [-26, 4, 6], [-34, 0, 5]]))

    def field(points):
        bag = sdf.cone(points, (10, 0, radius + 1), (-6, 0, radius + 1), radius, 0.55 * radius)
        return sdf.smooth_union(bag, sdf.tube(points, path, 3.2, 1.0), 3.0)

    return stuff(field, (-42, -16, -2), (28, 16, 2 * radius + 8), 3.2)


def scene(rng: np.random.Generator) -> tuple[Tissue, list[float]]:
    """A tissue, and its Young's moduli in kPa."""
    young = [float(value) for value in np.exp(rng.uniform(np.log(3), np.log(50), 2))]
    meshes = [liver(rng)]
    low = meshes[0].vertices[:, 2] < np.quantile(meshes[0].vertices[:, 2], 0.25)
    bodies = [Body("liver", meshes[0], TissueMaterial(young[0]), np.full(len(meshes[0].tets), LIVER), low)]
    bonds = Bonds.none()
    if rng.random() < 0.6:
        mesh = gallbladder(rng)
        along = mesh.vertices[mesh.tets].mean(1)[:, 0]
        classes = np.where(along < -16, CYSTIC_DUCT, GALLBLADDER)
        bodies.append(Body("gallbladder", mesh, TissueMaterial(young[1]), classes, mesh.vertices[:, 0] < -31))
        bonds = bed(meshes[0], mesh, rng)
    gravity = Rotation.random(rng=rng).apply([0, 0, -9810])
    gravity = 9810 * (gravity / 9810 + [0, 0, -1]) / np.linalg.norm(gravity / 9810 + [0, 0, -1])
    settings = TissueSettings(gravity_mm_s2=tuple(gravity))
    return Tissue(bodies, bonds, settings, seed=int(rng.integers(1 << 30))), young[: len(bodies)]


def bed(below: TetMesh, above: TetMesh, rng: np.random.Generator) -> Bonds:
    """Strands from the lowest vertices of the gallbladder to the nearest ones of the liver."""
    under = np.flatnonzero((above.vertices[:, 2] < 5) & (above.vertices[:, 0] > -10))
    distances = np.linalg.norm(above.vertices[under, None] - below.vertices[None], axis=2)
    nearest = distances.argmin(1)
    rest = distances.min(1)
    zero, one = np.zeros(len(under)), np.ones(len(under))
    return Bonds(one, under, zero, nearest, rest, 0.05 * one, rng.uniform(1, 4, len(under)))


class Hand:
    """An instrument that comes along its own axis to a place on the tissue, acts there, and leaves as it came.

    Its jaws close along x of its frame and its rod reaches away from the tissue.
    """

    def __init__(self, rng: np.random.Generator, tissue: Tissue):
        self.rng, self.tissue = rng, tissue
        self.approach()

    def approach(self) -> None:
        """Turn towards a random place on the surface, 30 mm away from it, with nothing in between."""
        surface, positions = self.tissue.surface(), self.tissue.positions.astype(float)
        corners = positions[surface.faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        upwards = normals[:, 2] > 0.3 * np.linalg.norm(normals, axis=1)
        free = cKDTree(positions[self.tissue.fixed]).query(corners.mean(1))[0] > FROM_ANCHOR_MM
        for face in self.rng.permutation(np.flatnonzero(upwards & free)):
            self.corners, self.spot = surface.faces[face], corners[face].mean(0)
            outwards = normals[face] / np.linalg.norm(normals[face]) + self.rng.normal(0, 0.25, 3)
            self.outwards = outwards / np.linalg.norm(outwards)
            if self._way_is_free(positions):
                break
        closing = np.cross(self.outwards, self.rng.normal(size=3))
        closing /= np.linalg.norm(closing)
        self.turn = np.stack([closing, np.cross(-self.outwards, closing), -self.outwards], axis=1)
        self.place = self.target = self.spot + 30 * self.outwards
        self.speed = 40.0

    def _way_is_free(self, positions: np.ndarray) -> bool:
        offset = positions - self.spot
        ahead = offset @ self.outwards
        beside = np.linalg.norm(offset - ahead[:, None] * self.outwards, axis=1)
        return not ((ahead > TIP_MM) & (beside < ROD_MM + MARGIN_MM)).any()

    def go(self, target: np.ndarray, speed: float) -> None:
        self.target, self.speed = target, speed

    def follow(self) -> None:
        """Keep to the chosen place on tissue that still swings."""
        moved = self.tissue.positions[self.corners].mean(0, dtype=float) - self.spot
        self.spot, self.target = self.spot + moved, self.target + moved

    def state(self, **more) -> ToolState:
        step = self.target - self.place
        self.place = self.place + step * min(1.0, self.speed / FRAMES_PER_S / max(np.linalg.norm(step), 1e-9))
        capsules = np.array([[0, 0, 0, 0, 0, -150, ROD_MM]])
        grip, closing, along = np.array([0, 0, 8.0]), np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
        blade = Blade(grip, closing, along, 16, 10)
        pose = make_transform(self.turn, self.place - self.turn @ grip)
        return ToolState(pose, capsules, grip, closing, 5.0, 1.0, heat_point=grip, blade=blade, **more)


def pull(rng: np.random.Generator, grasper: Hand, rod: Hand) -> np.ndarray:
    """Where to in mm, on a way that does not bring the grasper to the rod."""
    apart = grasper.place - rod.spot
    while True:
        way = rng.normal(0, 1, 3) * [12, 12, 6] + [0, 0, 12]
        nearest = apart + way * np.clip(-(apart @ way) / (way @ way), 0, 1)
        if np.linalg.norm(nearest) >= min(APART_MM, np.linalg.norm(apart)):
            return way


def play(seed: int) -> dict:
    """One scenario; the worst that was seen in it."""
    rng = np.random.default_rng([20, seed])
    started = time.process_time()
    tissue, young = scene(rng)
    rest = [volume_of(tissue, body) for body in range(len(tissue.bodies))]
    grasper, rod = Hand(rng, tissue), Hand(rng, tissue)
    invasive = seed % 3 == 0
    worst = {"inverted": 0.0, "volume_error": 0.0, "finite": True}
    events, heat = [], 0.0
    for frame in range(SECONDS * FRAMES_PER_S):
        second, phase = frame / FRAMES_PER_S, frame % CYCLE
        if phase == 0:
            grasper.approach()
            grasper.go(grasper.spot, rng.uniform(60, 150))
            rod.approach()
            while np.linalg.norm(rod.spot - grasper.spot) < APART_MM:
                rod.approach()
            rod.go(rod.spot, 100)
        if not invasive and phase <= CYCLE // 4:
            rod.follow()
        if phase == CYCLE // 4:
            events.append(tissue.grasp("grasper"))
            grasper.go(grasper.place + pull(rng, grasper, rod), rng.uniform(10, 60))
            if not invasive:
                rod.go(rod.spot - rod.outwards * (TIP_MM + rng.uniform(0, 5)), rng.uniform(10, 60))
            else:
                heat = rng.choice([0.0, 30.0])
                if rng.random() < 0.8:
                    events.append(tissue.cut("rod") if rng.random() < 0.6 else tissue.clip("rod"))
        if phase == CYCLE * 3 // 4:
            events.append(tissue.release("grasper"))
            grasper.go(grasper.place + 30 * grasper.outwards, 100)
            rod.go(rod.spot + 30 * rod.outwards, 100)
            heat = 0.0
        events += tissue.advance(1 / FRAMES_PER_S, {"grasper": grasper.state(), "rod": rod.state(heating_w=heat)})
        measure(tissue, rest if not invasive else [], worst)
        if not worst["finite"]:
            break
    return {
        "seed": seed,
        "young_kpa": young,
        "tets": len(tissue.tets),
        "invasive": invasive,
        "reached_s": round(second, 2),
        "events": {kind: sum(event.kind == kind for event in events) for kind in sorted({e.kind for e in events})},
        "cpu_s": time.process_time() - started,
        **worst,
    }


def signed_volumes(tissue: Tissue) -> np.ndarray:
    corners = tissue.positions[tissue.tets].astype(np.float64)
    a, b, c = (corners[:, k] - corners[:, 0] for k in (1, 2, 3))
    return np.einsum("ij,ij->i", np.cross(a, b), c) / 6


def volume_of(tissue: Tissue, body: int) -> float:
    return float(signed_volumes(tissue)[tissue.tet_body == body].sum())


def measure(tissue: Tissue, rest: list[float], worst: dict) -> None:
    volumes = signed_volumes(tissue)
    worst["finite"] &= bool(np.isfinite(volumes).all())
    worst["inverted"] = max(worst["inverted"], float((volumes[tissue.active] < 0).mean()))
    for body, before in enumerate(rest):
        now = volumes[tissue.tet_body == body].sum()
        worst["volume_error"] = max(worst["volume_error"], float(abs(now / before - 1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("results/bench/sim_stability.json"))
    options = parser.parse_args()
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        runs = []
        for run in pool.imap(play, range(options.scenarios)):
            runs.append(run)
            if len(runs) % 20 == 0:
                print(f"{len(runs)} of {options.scenarios} scenarios", file=sys.stderr)
    gentle = [run for run in runs if not run["invasive"]]
    figures = {
        "scenarios": len(runs),
        "seconds_each": SECONDS,
        "tets": [min(run["tets"] for run in runs), max(run["tets"] for run in runs)],
        "not_finite": sum(not run["finite"] for run in runs),
        "worst_inverted_share": max(run["inverted"] for run in runs),
        "worst_volume_error": max(run["volume_error"] for run in gentle),
        "wall_s": time.perf_counter() - started,
        "mean_cpu_s": float(np.mean([run["cpu_s"] for run in runs])),
    }
    print("| | found | asked for |\n|---|---|---|")
    print(f"| scenarios that are not finite | {figures['not_finite']} of {len(runs)} | 0 |")
    print(f"| inverted tetrahedra, worst frame | {figures['worst_inverted_share']:.3%} | 0.5 % |")
    print(f"| volume error, worst body and frame | {figures['worst_volume_error']:.2%} | 3 % |")
    print(f"| processor seconds a scenario | {figures['mean_cpu_s']:.1f} | |")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, {"figures": figures, "runs": runs})


if __name__ == "__main__":
    main()
