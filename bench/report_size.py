"""How large the report of a large dataset is, and how long Chromium takes to open it.

The dataset is the simulated one of a finished demo, its shards taken again under other names until there are frames
enough: every frame has its real picture, depth and labels, and is read, reduced and embedded like any other.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from splatscope.config.report import ReportConfig
from splatscope.files import read_json, write_json
from splatscope.report import ReportInputs, write_report

OPENINGS = 5
# resolves when every cell in sight shows its thumbnail, with the milliseconds since the page was asked for
FIRST_GRID = """() => new Promise((resolve) => {
  const look = async () => {
    const pictures = [...document.querySelectorAll(".cells .picture")];
    if (!pictures.length) return requestAnimationFrame(look);
    await Promise.all(pictures.map((picture) => {
      const image = new Image();
      image.src = picture.style.backgroundImage.slice(5, -2);
      return image.decode();
    }));
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now())));
  };
  look();
})"""
# unchecks a class; resolves with the milliseconds until the grid that is left was drawn
FILTER = """() => new Promise((resolve) => {
  const start = performance.now();
  document.querySelector(".chip input").click();
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - start)));
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("results"), help="results folder of a finished demo")
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    arguments = parser.parse_args()
    page = arguments.out / f"report_{arguments.frames}.html"
    with tempfile.TemporaryDirectory() as folder:
        inputs = report_inputs(arguments.run)
        dataset, shards = repeated(arguments.run, Path(folder), arguments.frames)
        inputs = replace(inputs, datasets={"simulated": dataset}, shards={"simulated": shards})
        write_report(inputs, ReportConfig(), page)
    figures = {"frames": arguments.frames, "megabytes": page.stat().st_size / 1e6, **openings(page)}
    write_json(arguments.out / "report.json", figures)
    for name, value in figures.items():
        print(f"{name}: {value}")


def report_inputs(run: Path) -> ReportInputs:
    """What the workflow gives the report, found in the folders of a run."""
    records = [read_json(path) for path in sorted(run.glob("ingest/*/ingest.json"))]
    rows = [{"name": record["recording"], "role": record["role"]} for record in records]
    return ReportInputs(
        summary=run / "summary.json",
        recordings=rows,
        ingest={row["name"]: run / "ingest" / row["name"] for row in rows},
        sfm={path.parent.name: path for path in sorted(run.glob("sfm/*/sfm.json"))},
        poses=run / "poses",
        splats={path.parent.name: path.parent for path in sorted(run.glob("splat/*/splat.json"))},
        extracts={path.parent.name: path.parent for path in sorted(run.glob("extract/*/extract.json"))},
        compose={path.stem: path for path in sorted(run.glob("compose/*.json"))},
        episodes=sorted(run.glob("simulate/episode_*.tar")),
        restyled={"simulated": run / "restyle/simulated"},
        evaluate=run / "evaluate",
        benchmarks=sorted((run / "benchmarks").rglob("*.tsv")),
    )


def repeated(run: Path, folder: Path, frames: int) -> tuple[Path, list[Path]]:
    """The simulated dataset's labels again and again, `frames` images in all, and links to its shards."""
    dataset = run / "dataset/simulated"
    coco = read_json(dataset / "annotations.json")
    labels = {image["id"]: [] for image in coco["images"]}
    for annotation in coco["annotations"]:
        labels[annotation["image_id"]].append(annotation)
    images, annotations, shards = [], [], []
    while len(images) < frames:
        copy = f"copy{len(images) // len(coco['images']):03d}-"
        for tar in sorted(run.glob("simulate/episode_*.tar")):
            for path in (tar, tar.with_suffix(".json")):
                (folder / f"{copy}{path.name}").symlink_to(path.resolve())
            shards.append(folder / f"{copy}{tar.name}")
        for image in coco["images"][: frames - len(images)]:
            number = len(images) + 1
            annotations += [annotation | {"image_id": number} for annotation in labels[image["id"]]]
            images.append(image | {"id": number, "file_name": f"images/{copy}{Path(image['file_name']).name}"})
    write_json(folder / "annotations.json", coco | {"images": images, "annotations": annotations})
    shutil.copy(dataset / "manifest.json", folder)
    return folder, shards


def openings(page_html: Path) -> dict:
    """Milliseconds to the first grid and to a filtered one in each of OPENINGS fresh windows, after one that loads the
    browser itself."""
    first_grid, filtered = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for _ in range(1 + OPENINGS):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            grid, filtering = open_once(context.new_page(), page_html)
            first_grid.append(grid)
            filtered.append(filtering)
            context.close()
        browser.close()
    return {
        "first_grid_ms": [round(value) for value in first_grid[1:]],
        "first_grid_ms_median": round(statistics.median(first_grid[1:])),
        "filter_ms_median": round(statistics.median(filtered[1:])),
    }


def open_once(page: Page, page_html: Path) -> tuple[float, float]:
    page.set_default_timeout(300_000)
    page.goto(page_html.resolve().as_uri(), wait_until="commit")
    grid = page.evaluate(FIRST_GRID)
    return grid, page.evaluate(FILTER)


if __name__ == "__main__":
    main()
