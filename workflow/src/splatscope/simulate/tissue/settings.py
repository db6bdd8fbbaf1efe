"""What can be turned in the tissue physics."""

from __future__ import annotations

from dataclasses import dataclass

LIVER, CYSTIC_DUCT, CYSTIC_ARTERY = 2, 8, 13  # resources/classes.tsv


@dataclass(frozen=True)
class TissueSettings:
    """Numbers of the solver, of contact and of energy; the defaults suit human abdominal organs."""

    substeps_per_s: float = 1200.0
    gravity_mm_s2: tuple[float, float, float] = (0.0, -3423.0, -9193.0)  # supine, head up by 20 degrees
    damping_per_s: float = 3.0  # rate at which velocity dies away
    top_speed_mm_s: float = 600.0  # by inertia: what slips out of jaws swings back wet, among other organs

    friction: float = 0.15  # wet tissue on steel and on tissue
    organ_gap_mm: float = 0.15  # that organs keep from each other
    separation_mm_s: float = 60.0  # fastest way out of an overlap that was not made by an instrument

    grip_stiffness_n_per_mm: float = 4.0  # of all that one pair of jaws holds
    grip_slip_n: float = 5.0  # pull at which tissue slips out of closed jaws
    grip_squeeze: float = 0.65  # thickness between closed jaws over the thickness when caught
    grip_closing_s: float = 0.15

    clip_gap_mm: float = 0.9  # between the closed legs of a clip
    clip_width_mm: float = 1.2  # along the tube
    clip_taper_mm: float = 2.0  # beside the clip, over which the tube gets as thick as it was, at the least
    clip_apart_mm: float = 2.5  # nearer to another one no clip can be set
    clip_closing_s: float = 0.2
    tubes: frozenset[int] = frozenset({CYSTIC_DUCT, CYSTIC_ARTERY})  # classes that a clip closes: hollow, they flatten
    tube_poisson: float = 0.46  # of them, at most: what is bent or pressed empties

    # mm/s of blood from each mm^2 that is cut or torn open, by class; of an artery only while its supply is open
    bleeding_mm_s: tuple[tuple[int, float], ...] = ((LIVER, 2.0), (CYSTIC_ARTERY, 300.0))
    arteries: frozenset[int] = frozenset({CYSTIC_ARTERY})
    least_bleeding_area_mm2: float = 1.0

    body_temperature_c: float = 37.0
    boiling_c: float = 100.0
    heat_capacity_j_per_g_k: float = 3.6
    conductivity_w_per_mm_k: float = 5e-4
    perfusion_per_s: float = 0.02
    water_heat_j_per_g: float = 1600.0  # to boil off the 70 % of water in a gram of tissue
    heat_spot_mm: float = 1.2  # standard deviation of the heated spot about the electrode
    heat_reach_mm: float = 1.5  # an electrode farther from the tissue does not heat it
    shrinkage: float = 0.06  # of length, of coagulated tissue
    stiffening: float = 3.0  # coagulated tissue is 1 + this times as stiff
    coagulated: float = 0.6  # burn at which tissue counts as coagulated: bleeding stops, bonds fail
    vaporised: float = 1.6  # mean burn of a tetrahedron at which it goes
    bond_heat_j: float = 1.0  # that burns a strand of connective tissue through

    strength_spread: float = 0.1  # standard deviation of tearing strength between tetrahedra, a share
