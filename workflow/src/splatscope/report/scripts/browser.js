// The dataset browser: filters above a grid, and beside it the frame that is pointed at.
class DatasetBrowser {
  constructor(root) {
    const texts = document.querySelectorAll("script.dataset-data");
    this.datasets = [...texts].map((script, number) => new Dataset(script.textContent, number));
    this.root = root;
    this.preview = root.querySelector(".preview");
    this.dialog = new FrameDialog(root.querySelector("dialog"), this.datasets);
    this.grid = new Grid(root.querySelector(".cells"), {
      shown: (frame) => this.showBeside(frame),
      opened: (position) => this.dialog.open(this.grid, position),
    });
    this.dataset = this.datasets[0];
    this.kind = "thumbnails";
    root.hidden = false;
    this.filters = new Filters(root.querySelector("form"), (wanted) => this.apply(wanted));
    const choice = root.querySelector("#browser-dataset");
    choice.addEventListener("change", () => this.choose(this.datasets[Number(choice.value)]));
    for (const button of root.querySelectorAll("button[data-layer]")) this.makeSwitch(button);
    this.choose(this.dataset);
  }

  choose(dataset) {
    this.dataset = dataset;
    const depth = this.root.querySelector('[data-layer="depth"]');
    depth.disabled = !dataset.depth;
    if (!dataset.depth) this.switchLayer(depth, false);
    this.filters.offer(dataset);
  }

  apply(wanted) {
    const { frames, instances } = this.dataset.filter(wanted);
    const { frames: held, images, name } = this.dataset;
    const all = held < images ? `${grouped(held)} frames shown here, of ${grouped(images)}` : `${grouped(held)} frames`;
    this.root.querySelector(".count").textContent =
      `${grouped(frames.length)} of ${all} in ${name}, matching instances: ${grouped(instances)}`;
    this.grid.root.scrollTop = 0;
    this.grid.active = 0;
    this.grid.show(this.dataset, frames, this.kind);
    if (frames.length) this.showBeside(frames[0]);
    else this.preview.replaceChildren();
  }

  showBeside(frame) {
    if (this.preview.offsetParent) this.preview.replaceChildren(frameView(this.datasets, this.dataset, frame));
  }

  makeSwitch(button) {
    this.switchLayer(button, button.getAttribute("aria-pressed") === "true");
    button.addEventListener("click", () => this.switchLayer(button, button.getAttribute("aria-pressed") !== "true"));
  }

  switchLayer(button, on) {
    button.setAttribute("aria-pressed", String(on));
    this.root.dataset[button.dataset.layer] = on ? "on" : "off";
    const kind = this.root.dataset.depth === "on" ? "depths" : "thumbnails";
    if (kind !== this.kind) {
      this.kind = kind;
      this.grid.kind = kind;
      this.grid.arrange();
    }
  }
}

const browserRoot = document.getElementById("browser");
if (browserRoot) new DatasetBrowser(browserRoot);
