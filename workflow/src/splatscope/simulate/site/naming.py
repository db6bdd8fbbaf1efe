"""Where the landmarks of a cholecystectomy are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from splatscope.simulate.site.bodies import ARTERY_BODY, CALOT_BODY, GALLBLADDER_BODY, LIVER_BODY
from splatscope.simulate.site.landmarks import Landmark, LandmarkFinder
from splatscope.simulate.site.organs import Organs
from splatscope.simulate.tissue.body import Body, Bonds

# shares of the free length from the gallbladder: two clips stay with the patient, one goes with the gallbladder
TUBE_SITES = {"clip_1": 0.82, "clip_2": 0.62, "cut": 0.43, "clip_3": 0.24}
CALOT_POINTS, BED_STATIONS = 8, 7


def name_landmarks(bodies: list[Body], bonds: Bonds, organs: Organs) -> dict[str, Landmark]:
    """Landmarks by name.

    fundus, infundibulum; duct_clip_1..3, duct_cut, artery_clip_1..3, artery_cut; calot_1..N over the fat before Calot's
    triangle, from the gallbladder on; bed_1..N along the border of the gallbladder's bed, from neck to fundus, on both
    sides in turn.
    """
    starts = np.cumsum([0, *(len(body.mesh.vertices) for body in bodies)])
    finders = [LandmarkFinder(body.mesh, start) for body, start in zip(bodies, starts)]
    fundus, body = organs.sac_path[:2]
    tip = fundus + (fundus - body) / np.linalg.norm(fundus - body) * organs.patient.sac_radii[0]
    found = {
        "fundus": finders[GALLBLADDER_BODY].surface(tip),
        "infundibulum": finders[GALLBLADDER_BODY].surface(organs.sac_point(0.35, -25)),
    }
    for name, index, path in (
        ("duct", GALLBLADDER_BODY, organs.duct_path),
        ("artery", ARTERY_BODY, organs.artery_path[::-1]),
    ):
        free = _free_length(path, organs)
        for site, share in sorted(TUBE_SITES.items()):
            found[f"{name}_{site}"] = finders[index].along(path, share * free)
    found |= _numbered("calot", finders[CALOT_BODY], _calot_points(bodies[CALOT_BODY], organs))
    found |= _numbered("bed", finders[GALLBLADDER_BODY], _bed_points(bodies[GALLBLADDER_BODY], bonds, organs))
    return found


def _numbered(name: str, finder: LandmarkFinder, points: np.ndarray) -> dict[str, Landmark]:
    return {f"{name}_{number}": finder.surface(point) for number, point in enumerate(points, 1)}


def _free_length(path: np.ndarray, organs: Organs) -> float:
    """Arc length in mm of a path [N, 3] from its start to where it enters the ligament."""
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    inside = organs.ligament(path) < 0
    return float(steps[: inside.argmax() if inside.any() else len(steps)].sum())


def _calot_points(body: Body, organs: Organs) -> np.ndarray:
    """Points [N, 3] spread over the side of the fat that faces the camera, by farthest-point sampling."""
    faces, _ = body.mesh.boundary()
    corners = body.mesh.vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    seen = (normals[:, 2] > 0.3 * np.linalg.norm(normals, axis=1)) & ~body.fixed[faces].any(1)
    candidates = corners[seen].mean(1)
    chosen = [candidates[np.linalg.norm(candidates - organs.sac_path[2], axis=1).argmin()]]
    while len(chosen) < min(CALOT_POINTS, len(candidates)):
        gaps = np.min([np.linalg.norm(candidates - point, axis=1) for point in chosen], axis=0)
        chosen.append(candidates[gaps.argmax()])
    return np.array(sorted(chosen, key=lambda point: np.linalg.norm(point - organs.sac_path[2])))


def _bed_points(body: Body, bonds: Bonds, organs: Organs) -> np.ndarray:
    """Points [N, 3] on the gallbladder where its bond to the liver begins, seen from the camera."""
    bed = (bonds.first_body == GALLBLADDER_BODY) & (bonds.second_body == LIVER_BODY)
    held = body.mesh.vertices[np.unique(bonds.first_vertex[bed])]
    neck, fundus = organs.sac_path[2], organs.sac_path[0]
    along = (fundus - neck) / np.linalg.norm(fundus - neck)
    across = np.cross(along, [0, 0, 1.0])
    place, side = (held - neck) @ along, (held - neck) @ across
    stations = np.linspace(place.min(), place.max(), BED_STATIONS + 1)
    points = []
    for low, high in pairwise(stations):
        here = np.flatnonzero((place >= low) & (place <= high))
        if len(here) > 1:
            points += [held[here[side[here].argmin()]], held[here[side[here].argmax()]]]
    return np.array(points)
