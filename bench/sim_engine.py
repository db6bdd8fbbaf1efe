"""The simulator beside its peers, in one run on one machine: `make bench-sim`.

Ours and the peers take turns; seconds are those of processors (all threads of a process), because the peers use
different numbers of them: the wall seconds stand beside them. The table is printed, and results/bench/sim.json holds it
as a list of {work, ours, peer, peer_version, ratio, unit, at_least}; `ratio` is how many times better ours is. A row
whose peer is not there says so and has no figure.

    python bench/sim_engine.py --peers results/bench/peers/bin/python
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from comparison import Table
from peers.process import PeerMissing, PeerProcess
from sim_bodies import HangingBody, hang, hanging_liver, tissue_of

from splatscope.config.simulate import SimulateConfig

BENCH = Path(__file__).resolve().parent
ROUNDS = 5
SUBSTEPS = 20  # a frame of 1/60 s
REST_S = 4.0  # after which the liver hangs still; its sag is the mean of the last second
SAG_TOLERANCE = 0.15
PHYSICS_UNIT = "processor s per simulated s"
FRAME = {"width": 640, "height": 512, "anatomy": "standard", "frames_per_second": 30}
SKIPPED_FRAMES = 15  # in which kernels are compiled and the instruments come into view
FRAMES_A_TURN = 15
SECONDS_A_TURN = 3.0
CYCLES_FRAMES = 4
SECONDS = ("processor_s", "wall_s")


def take_turns(works: dict[str, Callable[[], dict]]) -> dict[str, dict]:
    """Least processor and wall seconds of each work, after one that does not count."""
    least: dict[str, dict] = {}
    for turn in range(ROUNDS + 1):
        for name, work in works.items():
            took = work()
            if turn:
                before = least.get(name, took)
                least[name] = took | {key: min(took[key], before[key]) for key in SECONDS}
    return least


def ours(body: HangingBody, substeps: int, seconds: float) -> dict:
    """One run of our solver, as the peers' workers answer."""
    tissue = tissue_of(body, substeps)
    processor, wall = time.process_time(), time.perf_counter()
    seen = hang(tissue, seconds)
    took = {"processor_s": time.process_time() - processor, "wall_s": time.perf_counter() - wall}
    return took | body.hanging(seen)


def rest_sag(answer: dict) -> float:
    return float(np.mean(answer["sags_mm"][-60:]))


def cheapest_setting(peer: PeerProcess, sag_mm: float, **fixed) -> tuple[dict, float]:
    """The first of the peer's candidates whose tissue stays whole and hangs as deep as ours; and how deep."""
    for candidate in peer.about["candidates"]:
        setting = fixed | candidate
        answer = peer.ask(setting=setting, seconds=REST_S)
        sag = rest_sag(answer)
        print(f"{peer.about['version']} {setting}: sag at rest {sag:.2f} mm, ours {sag_mm:.2f} mm", flush=True)
        if answer["finite"] and answer["inverted"] < 0.005 and abs(sag / sag_mm - 1) <= SAG_TOLERANCE:
            return setting, sag
    raise PeerMissing(f"none of its settings comes within {SAG_TOLERANCE:.0%} of a sag of {sag_mm:.2f} mm")


def physics_rows(table: Table, python: Path, folder: Path) -> None:
    body = hanging_liver()
    body.save_si(folder / "liver.npz")
    sag = rest_sag(ours(body, SUBSTEPS, REST_S))
    work = f"1 s of a hanging liver, {len(body.mesh.tets)} tetrahedra, 60 Hz, E 8 kPa, nu 0.45, {SUBSTEPS} substeps"
    half = f"{SUBSTEPS // 2} substeps"
    works = {"ours": lambda: ours(body, SUBSTEPS, 1.0), half: lambda: ours(body, SUBSTEPS // 2, 1.0)}
    rows, peers = [], []
    for script, name, at_least in (("newton_vbd", "Newton VBD", 3.0), ("mujoco_flex", "MuJoCo flex", 1.0)):
        try:
            peer = PeerProcess(python, BENCH / f"peers/{script}.py", folder / "liver.npz", log=folder / f"{script}.log")
            peers.append(peer)
            for law in peer.about.get("laws", [None]):
                fixed = {} if law is None else {"law": law}
                if law == "Saint Venant-Kirchhoff":  # another law: it cannot hang as ours does
                    setting = fixed | peer.about["candidates"][0]
                    peer_sag = rest_sag(peer.ask(setting=setting, seconds=REST_S))
                else:
                    setting, peer_sag = cheapest_setting(peer, sag, **fixed)
                title = f"{name} {setting}"
                works[title] = lambda peer=peer, setting=setting: peer.ask(setting=setting, seconds=1.0)
                rows.append((title, peer.about["version"], at_least, setting, peer_sag))
        except PeerMissing as missing:
            table.missing(f"{work}, {name}", str(missing))
    least = take_turns(works)
    for title, version, at_least, setting, peer_sag in rows:
        law = setting.get("law", "stable Neo-Hookean")
        table.add(
            f"{work}; peer's law {law}",
            least["ours"]["processor_s"],
            least[title]["processor_s"],
            version,
            PHYSICS_UNIT,
            at_least,
            setting=setting,
            ours_wall_s=least["ours"]["wall_s"],
            peer_wall_s=least[title]["wall_s"],
            ours_at_half_the_substeps=least[half]["processor_s"],
            sag_at_rest_mm={"ours": sag, "peer": peer_sag},
            greatest_sag_mm={"ours": max(least["ours"]["sags_mm"]), "peer": max(least[title]["sags_mm"])},
        )
    for peer in peers:
        peer.close()


def operation(index: int, config: dict, folder: Path) -> PeerProcess:
    log = folder / f"operation_{index}.log"
    return PeerProcess(sys.executable, BENCH / "sim_worker.py", str(index), json.dumps(config), log=log)


def frame_row(table: Table, python: Path, folder: Path) -> None:
    """Ours: physics, picture and every label of a frame of an operation. Cycles: the picture and labels alone."""
    from sim_frames import snapshot, start_episode

    episode = start_episode(0, **FRAME)
    faces = snapshot(episode, SKIPPED_FRAMES, CYCLES_FRAMES, folder / "frames.npz")
    tets, samples = len(episode.tissue.tets), SimulateConfig().supersampling ** 2
    work = f"a labelled 640x512 frame, {tets} tetrahedra, {faces} faces, 30 frames/s of simulated time"
    script, log = BENCH / "peers/blender_cycles.py", folder / "cycles.log"
    try:
        with (
            PeerProcess(python, script, folder / "frames.npz", log=log) as peer,
            operation(0, FRAME, folder) as own,
        ):
            peer.ask(frame=0)  # builds what persists
            own.ask(frames=SKIPPED_FRAMES)
            pairs = [(own.ask(frames=FRAMES_A_TURN), peer.ask(frame=turn)) for turn in range(CYCLES_FRAMES)]
    except PeerMissing as missing:
        return table.missing(work, str(missing))
    mine = {key: np.mean([took[key] for took, _ in pairs]) / FRAMES_A_TURN for key in SECONDS}
    theirs = {key: np.mean([took[key] for _, took in pairs]) for key in SECONDS}
    table.add(
        work,
        mine["processor_s"],
        theirs["processor_s"],
        f"{peer.about['version']}, 4 spp",
        "processor s a frame (mean; ours with physics, Cycles without)",
        50.0,
        ours_wall_s=mine["wall_s"],
        peer_wall_s=theirs["wall_s"],
        ours_samples_a_contrasting_pixel=samples,
    )


def scaling_row(table: Table, folder: Path) -> None:
    """Frames a second of two operations at once on two cores, and of one alone."""
    with operation(0, FRAME, folder) as first, operation(1, FRAME, folder) as second:
        for process in (first, second):
            process.ask(frames=SKIPPED_FRAMES)
        alone, both = [], []
        for _ in range(ROUNDS):
            alone += [process.ask(seconds=SECONDS_A_TURN) for process in (first, second)]
            for process in (first, second):
                process.send(seconds=SECONDS_A_TURN)  # not frames: those of one operation cost more than the other's
            both += [process.answer() for process in (first, second)]
    one, each = (
        sum(answer["frames"] for answer in answers) / sum(answer["wall_s"] for answer in answers)
        for answers in (alone, both)
    )
    two = 2 * each
    table.add("two operations on two cores, 640x512", two, one, "itself, one", "frames/s", 1.8, ratio=two / one)


def label_row(table: Table) -> None:
    from sim_frames import label_agreement, start_episode

    changes = {"width": 640, "height": 512, "distortion": (-0.22, -0.12), "round_view_probability": 0.0}
    found = label_agreement(start_episode(2, **changes), every=4, frames=24)
    share = 100 * found.pop("share")
    table.add(
        "class and instance equal to an independent ray cast",
        share,
        None,
        "Warp's bounding volume hierarchy",
        "% of pixels",
        99.9,
        ratio=share,
        **found,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=Path("results/bench/peers/bin/python"), help="their Python")
    parser.add_argument("--out", type=Path, default=Path("results/bench/sim.json"))
    parser.add_argument("--only", default="", choices=("", "physics", "frame", "scaling", "labels"))
    options = parser.parse_args()
    table, folder = Table(options.out), options.out.absolute().parent / "sim"
    rows = {
        "physics": lambda: physics_rows(table, options.peers, folder),
        "frame": lambda: frame_row(table, options.peers, folder),
        "scaling": lambda: scaling_row(table, folder),
        "labels": lambda: label_row(table),
    }
    for name, measure in rows.items():
        if options.only in ("", name):
            measure()
    print(json.dumps(table.rows, indent=1))


if __name__ == "__main__":
    main()
