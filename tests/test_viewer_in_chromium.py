"""The viewer's page in headless Chromium: it draws the splat, follows a gizmo, changes layers, and saves a recipe."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from splat_samples import CAMERA
from splatscope.config.load import load_config
from splatscope.geometry import apply, invert, pose_difference, pose_from_quaternion
from splatscope.viewer.local_server import LocalServer
from splatscope.viewer.panels import LIMITS
from splatscope.viewer.results import load_results
from splatscope.viewer.viewer import Viewer
from viewer_material import CONFIG, write_viewable

WAIT_S = 120  # a page drawn by the processor, on a machine that is busy


def wait_for(condition, what):
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"waited {WAIT_S} s for {what}")


class Page:
    """The open page and the viewer behind it."""

    def __init__(self, page, server, viewer, recipe_file):
        self.page, self.server, self.viewer, self.recipe_file = page, server, viewer, recipe_file

    @property
    def client(self):
        return next(iter(self.server.get_clients().values()))

    @property
    def canvas(self):
        return self.page.locator("canvas").first

    def picture(self):
        """The rendered picture, as the page shows it."""
        return np.asarray(Image.open(io.BytesIO(self.page.locator("img").first.screenshot())).convert("RGB")).astype(int)

    def settled(self):
        """Wait for the fine picture of the newest situation."""
        self.page.get_by_text(f"{CAMERA.width} x {CAMERA.height},").wait_for()
        return self.picture()

    def pixels(self):
        return np.asarray(Image.open(io.BytesIO(self.canvas.screenshot())).convert("RGB")).astype(int)

    def to_screen(self, point):
        """Where a point of the world is on the page, in pixels."""
        camera, box = self.client.camera, self.canvas.bounding_box()
        seen = apply(invert(pose_from_quaternion(camera.wxyz, camera.position)), np.asarray(point)[None])[0]
        focal = box["height"] / (2 * np.tan(camera.fov / 2))
        middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
        return middle + focal * seen[:2] / seen[2]

    def drag_arrow(self, gizmo, axis, by_mm, length_mm):
        """Pull an arrow of a gizmo, by mouse, along its axis."""
        pose = pose_from_quaternion(gizmo.wxyz, gizmo.position)
        start = pose[:3, 3] + 0.7 * length_mm * pose[:3, axis]
        first, last = self.to_screen(start), self.to_screen(start + by_mm * pose[:3, axis])
        mouse = self.page.mouse
        mouse.move(*first)
        self.page.wait_for_timeout(300)
        mouse.down()
        for share in np.linspace(0.2, 1, 5):
            mouse.move(*(first + share * (last - first)))
            self.page.wait_for_timeout(100)
        mouse.up()


@pytest.fixture(scope="module")
def results(tmp_path_factory, repository):
    return load_results(
        write_viewable(tmp_path_factory.mktemp("viewed")), repository / "resources/classes.tsv", CONFIG
    )


@pytest.fixture
def view(chromium, results, tmp_path):
    """Opens the page; afterwards nothing may have been complained of, nor fetched from elsewhere."""
    server = LocalServer("127.0.0.1", 0)
    viewer = Viewer(server, results, CONFIG, tmp_path / "recipe.yaml")
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(1000 * WAIT_S)
    complaints, fetched = [], []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(server.url)
    page.get_by_text("80 x 64").wait_for()
    wait_for(server.get_clients, "the page's camera")
    yield Page(page, server, viewer, tmp_path / "recipe.yaml")
    context.close()
    viewer.stop()
    server.stop()
    assert complaints == []
    assert [url for url in fetched if not url.startswith((server.url, "data:", "blob:"))] == []


def changed(before, after):
    """Share of pixels that differ clearly."""
    return (np.abs(before - after).max(-1) > 25).mean()


def test_the_page_draws_the_splat(view):
    reddish = wait_for(
        lambda: ((view.pixels() @ [1, -1, 0] > 40).mean() > 0.1 and view.pixels()) is not False, "a reddish plane"
    )
    assert reddish
    assert view.page.get_by_text("needle driver").count()


def test_a_dragged_tool_moves_and_its_picture_with_it(view):
    before, start = view.settled(), view.viewer.situation.view.placed[0][1]
    gizmo = view.server.scene.get_handle_by_name("/move/0")
    axis = int(np.argmax([np.linalg.norm(_arrow(view, gizmo, axis)) for axis in range(3)]))
    view.drag_arrow(gizmo, axis, 12, 25)
    end = wait_for(
        lambda: (pose := view.viewer.situation.view.placed[0][1]) is not start and pose, "the tool's new pose"
    )
    distance, angle = pose_difference(start, end)
    assert 4 < distance < 30 and angle < 1e-3
    along = (end[:3, 3] - start[:3, 3]) @ pose_from_quaternion(gizmo.wxyz, gizmo.position)[:3, axis]
    assert along > 0.95 * distance
    wait_for(lambda: changed(before, view.settled()) > 0.01, "another picture")


def _arrow(view, gizmo, axis):
    pose = pose_from_quaternion(gizmo.wxyz, gizmo.position)
    return view.to_screen(pose[:3, 3] + 10 * pose[:3, axis]) - view.to_screen(pose[:3, 3])


def test_layers_are_switched(view):
    with_all = view.settled()
    view.page.get_by_label("Masks").uncheck()
    without_mask = wait_for(lambda: _different(view, with_all), "a picture without its mask")
    view.page.get_by_label("Boxes").uncheck()
    bare = wait_for(lambda: _different(view, without_mask), "a picture without its box")
    view.page.get_by_label("Depth").check()
    wait_for(lambda: changed(bare, view.picture()) > 0.5, "a depth picture")


def _different(view, before):
    now = view.picture()
    return now if changed(before, now) > 0.003 else None


def test_a_recipe_is_dragged_drawn_and_saved(view):
    page = view.page
    page.get_by_label("Move").click()
    page.get_by_role("option", name=LIMITS).click()
    handle = view.server.scene.get_handle_by_name("/limits/known/camera_limit_mm")
    wait_for(lambda: handle.visible, "the limits' arrows")
    pose = view.server.scene.get_handle_by_name("/limits/known")
