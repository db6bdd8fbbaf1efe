"""The report in a browser: it filters, compares, turns and opens by mouse, finger and keyboard, and fetches nothing."""

import io
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from scipy.spatial.transform import Rotation

import fake_results as fake
from splatscope.annotate import annotate_dataset
from splatscope.config.annotate import AnnotateConfig
from splatscope.config.report import ReportConfig
from splatscope.report import write_report
from splatscope.report.splat_cloud import quantise
from splatscope.shards import write_shard
from splatscope.splats.gaussians import Gaussians

FRAMES, RESTYLED_FRAMES = 40, 12
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of two datasets, the second being frames of the first restyled."""
    folder = tmp_path_factory.mktemp("results")
    inputs = fake.write_results(folder, truth=False, scene=False, frames=2)
    frames = [fake.frame(index, second=index % 3 == 0) for index in range(FRAMES)]
    shards = {
        "simulated": frames,
        "simulated_restyled": [replace(frame, rgb=frame.rgb[..., ::-1].copy()) for frame in frames],
    }
    shards["simulated_restyled"] = shards["simulated_restyled"][10 : 10 + RESTYLED_FRAMES]
    datasets = {}
    for name, content in shards.items():
        tar = folder / "shards" / name / "shard_000000.tar"
        write_shard(tar, content)
        shards[name], datasets[name] = [tar], folder / "dataset" / name
        annotate_dataset([tar], fake.CLASS_TABLE, AnnotateConfig(keep_empty_frames=True), datasets[name], name=name)
    inputs = replace(inputs, datasets=datasets, shards=shards)
    write_report(inputs, ReportConfig(), folder / "report.html")
    return folder / "report.html", json.loads((datasets["simulated"] / "annotations.json").read_text())


@pytest.fixture
def open_report(chromium, report):
    """Opens the report at a size; afterwards nothing may have been fetched or complained of."""
    contexts, complaints, fetched = [], [], []

    def opened(viewport=DESKTOP, **options):
        contexts.append(chromium.new_context(viewport=viewport, reduced_motion="reduce", **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(report[0].as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in fetched if not url.startswith(("data:", "blob:"))] == [report[0].as_uri()] * len(contexts)


def pixels(locator):
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB")).astype(int)


def test_filters_change_which_frames_are_shown(open_report, report):
    page, coco = open_report(), report[1]
    names = {category["id"]: category["name"] for category in coco["categories"]}
    annotations = coco["annotations"]
    count = page.locator(".count")
    assert count.get_attribute("aria-live") == "polite"

    def expect(wanted):
        shown = {annotation["image_id"] for annotation in wanted}
        assert 0 < len(shown) < FRAMES
        assert count.inner_text() == f"{len(shown)} of {FRAMES} frames in simulated, matching instances: {len(wanted)}"

    assert count.inner_text() == f"{FRAMES} of {FRAMES} frames in simulated, matching instances: {len(annotations)}"
    page.get_by_role("checkbox", name="needle driver").uncheck()
    expect([entry for entry in annotations if names[entry["category_id"]] == "grasper"])
    page.get_by_role("button", name="Show all").click()
    page.locator("#browser-visibility-high").fill("95")
    expect([entry for entry in annotations if entry["visibility"] <= 0.95])
    page.get_by_role("button", name="Show all").click()
    page.locator("#browser-size-high").fill("4")
    area = fake.CAMERA.width * fake.CAMERA.height
    expect([entry for entry in annotations if entry["bbox"][2] * entry["bbox"][3] <= 0.03 * area])
    page.locator("#browser-visibility-low").fill("100")
    assert page.locator("#browser-visibility-low").get_attribute("aria-valuetext") == "100\u00a0%"
    page.get_by_role("button", name="Show all").click()
    page.get_by_label("Split").select_option("validation")
    held_out = {image["id"] for image in coco["images"] if image["split"] == "val"}
    expect([entry for entry in annotations if entry["image_id"] in held_out])
    page.get_by_role("checkbox", name="needle driver").uncheck()
    page.get_by_role("checkbox", name="grasper").uncheck()
    assert count.inner_text().startswith(f"0 of {FRAMES} frames") and page.locator(".cells li").count() == 0


def test_only_frames_in_sight_are_in_the_document(open_report):
    page = open_report()
    cells = page.locator(".cells li")
    assert 0 < cells.count() < FRAMES
    first = page.locator(".cells button").first
    assert "needle driver" in first.get_attribute("aria-label")
    first.focus()
    page.keyboard.press("End")
    focused = page.evaluate("document.activeElement.parentElement.getAttribute('aria-posinset')")
    assert focused == str(FRAMES) and cells.count() < FRAMES
    box, grid = page.locator(".cells button:focus").bounding_box(), page.locator(".cells").bounding_box()
    assert grid["y"] <= box["y"] and box["y"] + box["height"] <= grid["y"] + grid["height"]
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.parentElement.getAttribute('aria-posinset')") == "1"
    assert page.locator('.cells button[tabindex="0"]').count() == 1


def test_frame_view_opens_and_closes_by_keyboard(open_report):
    page = open_report()
    page.locator(".cells button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    assert "000001.png 2 of 40" in dialog.inner_text() and "needle driver" in dialog.inner_text()
    assert "Depth: 80 (bright) to 80" in dialog.inner_text()
    page.keyboard.press("ArrowRight")
    assert "3 of 40" in dialog.inner_text()
    dialog.get_by_role("button", name="Previous").press("Enter")
    assert "2 of 40" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.parentElement.getAttribute('aria-posinset')") == "2"


def test_pointing_at_a_frame_shows_its_labels_which_can_be_taken_off(open_report, report):
    page = open_report()
    page.locator(".cells li").nth(3).hover()
    preview = page.locator(".preview")
    assert "000003.png" in preview.inner_text() and preview.locator("tbody tr").count() == 2
    annotations = [entry for entry in report[1]["annotations"] if entry["image_id"] == 4]
    rng = np.random.default_rng(0)
    for entry, drawn in zip(annotations, preview.locator("figure").first.locator(".mask").all(), strict=True):
        mask = coco_mask.decode(entry["segmentation"])
        doubled = np.kron(mask, np.ones((2, 2), np.uint8))
        core, around = (change(doubled, np.ones((5, 5))) for change in (cv2.erode, cv2.dilate))  # off the border
        places = np.concatenate([rng.permutation(np.argwhere(certain))[:200] for certain in (core == 1, around == 0)])
        inside = drawn.evaluate(
            "(path, points) => points.map(([y, x]) => path.isPointInFill(new DOMPoint(x, y)))",
            ((places + 0.5) * 255 / doubled.shape).tolist(),
        )
        assert inside == (doubled[tuple(places.T)] == 1).tolist() and 0 < sum(inside) < len(inside)
    mask = page.locator(".cells .mask").first
    assert mask.is_visible()
    cell = page.locator(".cells li").nth(1)
    with_mask = pixels(cell)
    button = page.get_by_role("button", name="Masks")
    button.click()
    assert not mask.is_visible() and button.get_attribute("aria-pressed") == "false"
    assert np.abs(pixels(cell) - with_mask).max() > 20
    page.get_by_role("button", name="Boxes").click()
    page.get_by_role("button", name="Depth").click()
    middle = pixels(cell)[10:-30, 5:-5]
    assert np.ptp(middle, axis=2).max() == 0  # depth has no colours


def test_a_restyled_frame_shows_itself_before(open_report):
    page = open_report()
    page.get_by_label("Dataset").select_option("simulated_restyled")
    assert page.locator(".count").inner_text().startswith(f"{RESTYLED_FRAMES} of {RESTYLED_FRAMES} frames")
    page.locator(".cells button").first.click()
    slider = page.get_by_role("dialog").get_by_role("slider")
    picture = page.locator("dialog .compare")
    slider.fill("100")
    before = pixels(picture)
    slider.fill("0")
    after = pixels(picture)
    red, blue = before[20:-60, 20:-60, 0].mean(), before[20:-60, 20:-60, 2].mean()
    assert red > 1.3 * blue and after[20:-60, 20:-60, 2].mean() > 1.3 * after[20:-60, 20:-60, 0].mean()


def test_sliders_move_by_keys(open_report):
    page = open_report()
    compare = page.locator("#restyled .compare").first
    slider = compare.get_by_role("slider")
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert compare.evaluate("node => node.style.getPropertyValue('--split')") == "55%"
    assert slider.get_attribute("aria-valuetext") == "55 % before"


def test_splat_turns_by_keys_buttons_and_mouse(open_report):
    page = open_report()
    canvas = page.locator("canvas")
    canvas.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('canvas').width > 300")
    first = pixels(canvas)
    assert np.ptp(first[50:-50, 50:-50], axis=(0, 1)).max() > 60  # something is drawn on the dark ground
    canvas.focus()
    looks = []
    box = canvas.bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def drag():
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 100, middle[1] + 40, steps=4)
        page.mouse.up()

    turns = (
        lambda: page.keyboard.press("ArrowLeft"),
        lambda: page.get_by_role("button", name="Closer").click(),
        drag,
        lambda: page.get_by_label("Model").select_option("2"),
    )
    for turn in turns:
        turn()
        page.wait_for_timeout(200)
        looks.append(pixels(canvas)[5:-5, 5:-5])
    for one, other in zip([first[5:-5, 5:-5], *looks], looks):
        assert (np.abs(one - other).max(2) > 20).mean() > 0.005
    page.get_by_label("Model").select_option("0")
    page.wait_for_timeout(200)
    assert (np.abs(pixels(canvas)[5:-5, 5:-5] - first[5:-5, 5:-5]).max(2) > 20).mean() < 0.001


def test_gaussians_are_unpacked_and_drawn_from_far_to_near(chromium, repository):
    rng = np.random.default_rng(0)
    count = 3000
    model = Gaussians(
        *(torch.tensor(rng.normal(size=shape), dtype=torch.float32) for shape in ((count, 3), (count, 4), (count, 3))),
        torch.zeros(count),
        torch.zeros(count, 1, 3),
    )
    text = json.dumps({"name": "", "count": count, **quantise(model)})
    folder = repository / "workflow/src/splatscope/report/scripts"
    code = "".join((folder / f"{name}.js").read_text() for name in ("numbers", "splat_model"))
    page = chromium.new_page()
    order, texels = page.evaluate(
        """([code, text]) => new Function("text", `${code}
             const model = new SplatModel(text);
             return [[...model.order([0.6, 0, 0.8])], [...model.texels]];`)(text)""",
        [code, text],
    )
    page.close()
    assert sorted(order) == list(range(count))
    depths = model.means.double().numpy() @ [0.6, 0, 0.8]
    assert (np.diff(depths[order]) < 1e-3 * np.ptp(depths)).all()
    texels = np.array(texels).reshape(-1, 12)[:count]
    turns = Rotation.from_quat(model.quaternions.numpy()[:, [1, 2, 3, 0]]).as_matrix()
    covariances = turns * np.exp(2 * model.log_scales.numpy())[:, None] @ turns.transpose(0, 2, 1)
    exact = covariances[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]]
    size = np.trace(covariances, axis1=1, axis2=2)[:, None]
    assert (np.abs(texels[:, 4:10] - exact) < 0.04 * size).all()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_shows_everything_in_its_width(open_report, scheme):
    page = open_report(PHONE, has_touch=True, is_mobile=True, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.locator(".cells button").first.tap()
    box = page.get_by_role("dialog").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    assert page.get_by_role("dialog").evaluate("node => node.scrollWidth <= node.clientWidth")
    page.get_by_role("button", name="Close", exact=True).tap()
    assert not page.get_by_role("dialog").is_visible()


def test_everything_that_is_operated_has_a_name(open_report):
    page = open_report()
    page.locator(".cells button").first.click()
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input, select, canvas, [role=img]")].filter((node) => {
             const label = node.getAttribute("aria-label") || node.textContent.trim();
             return !label && ![...(node.labels ?? [])].some((one) => one.textContent.trim());
           }).map((node) => node.outerHTML)"""
    )
    assert nameless == []
    ids = page.evaluate(
        """[...document.querySelectorAll("[aria-labelledby], [aria-describedby]")].map((node) =>
             node.getAttribute("aria-labelledby") ?? node.getAttribute("aria-describedby"))"""
    )
    assert ids and all(page.locator(f"#{name}").count() == 1 for name in ids)
