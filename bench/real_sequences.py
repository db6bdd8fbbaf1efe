"""Real sequences through the whole workflow, as a user would bring them: `make real` (about a quarter of an hour).

Each case is a folder of its own below results/real with a recordings.tsv and a config; the figures go to
results/real/figures.md, which bench/RESULTS.md quotes. The material is not ours to ship: pass the folder that holds it.

    python bench/real_sequences.py ../shared/data
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from real.sinus_transforms import sinus_transforms  # noqa: E402

WORK = ROOT / "results" / "real"


def prepare_fox(data: Path, with_poses: bool) -> tuple[Path, dict]:
    """50 photographs of a real object, without a tracker: COLMAP alone, or the poses that come with them."""
    folder = WORK / ("fox_given_poses" if with_poses else "fox_colmap")
    poses = data / "fox" / "transforms.json" if with_poses else None
    write_recordings(folder, data / "fox" / "images", poses)
    return folder, {
        "splat": {"max_width": 270},
        "compose": {"width": 270, "height": 480, "recipe": {"frames": 64, "min_site_coverage": 0.5}},
    }


def prepare_sinus(data: Path, with_poses: bool) -> tuple[Path, dict]:
    """35 consecutive frames of a real sinus endoscopy, with the poses published beside them or without."""
    folder = WORK / ("sinus_given_poses" if with_poses else "sinus_colmap")
    source = data / "sinus_endoscopy"
    poses = None
    if with_poses:
        poses = folder / "transforms.json"
        folder.mkdir(parents=True, exist_ok=True)
        poses.write_text(json.dumps(sinus_transforms(source)))
    write_recordings(folder, source / "frames", poses)
    return folder, {
        "sfm": {"first_octave": -1, "peak_threshold": 0.002},
        "splat": {"max_width": 480},
        "compose": {"width": 480, "height": 270, "recipe": {"frames": 64, "min_site_coverage": 0.5}},
    }


def write_recordings(folder: Path, images: Path, poses: Path | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    row = ["site_frames", "background", str(images.resolve()), str(poses.resolve()) if poses else "-"]
    (folder / "recordings.tsv").write_text("name\trole\tvideo\tposes\n" + "\t".join(row) + "\n")


def run_case(folder: Path, settings: dict) -> dict:
    """Run the workflow there; the figures of its summary, or the clear error it ended with."""
    (folder / "config.yaml").write_text(yaml.safe_dump({"recordings": "recordings.tsv", **settings}))
    command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", "config.yaml", "--cores", "all"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder)
    (folder / "run.log").write_text(done.stdout)
    if done.returncode:
        stopped = re.search(r"stopped:\n(.*?)\nRuleException", done.stdout, re.DOTALL)
        return {"error": stopped[1] if stopped else f"exit {done.returncode}, see {folder / 'run.log'}"}
    return json.loads((folder / "results" / "summary.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with fox/ and sinus_endoscopy/")
    data = parser.parse_args().data
    lines = [
        "| sequence | share of frames with a pose | held-out PSNR (dB) | Gaussians | frames rendered and annotated |",
        "|---|---|---|---|---|",
    ]
    for prepare in (prepare_fox, prepare_sinus):
        for with_poses in (False, True):
            folder, settings = prepare(data, with_poses)
            figures = run_case(folder, settings)
            if "error" in figures:
                lines.append(f"| {folder.name} | stopped: {' '.join(figures['error'].split())} | | | |")
                continue
            keys = ("poses.registered_fraction", "splat.site.heldout_psnr", "splat.site.gaussians", "dataset.frames")
            shown = (f"{figures[key]:.4g}" for key in keys)
            lines.append(f"| {folder.name} | " + " | ".join(shown) + " |")
    (WORK / "figures.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
