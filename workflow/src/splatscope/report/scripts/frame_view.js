// One frame with its labels, its depth and the list of its instances: beside the grid, or large in a dialog.
function instanceTable(dataset, frame) {
  const labels = dataset.labels(frame);
  if (!labels.length) return element("p", { class: "hint" }, "No annotation.");
  const head = element("tr");
  for (const title of ["", "Class", "Visible", "Box"]) head.append(element("th", { scope: "col" }, title));
  const body = element("tbody");
  labels.forEach((label, index) => {
    const name = element("td", { class: "text" });
    name.append(element("i", { style: `--c: var(--s${label.colour})` }), label.className);
    const cells = [element("td", {}, percent(label.visibility)), element("td", {}, percent(label.boxShare))];
    body.append(element("tr", {}, element("th", { scope: "row" }, String(index + 1)), name, ...cells));
  });
  return element("table", { class: "instances" }, element("thead", {}, head), body);
}

function comparison(dataset, before, frame) {
  const shape = `--split: 50%; aspect-ratio: ${dataset.width(frame)} / ${dataset.height(frame)}`;
  const pictures = [element("span", { class: "picture" }), element("span", { class: "picture over" })];
  showPicture(pictures[0], "thumbnails", dataset, frame);
  showPicture(pictures[1], "thumbnails", before, before.names.indexOf(dataset.names[frame]));
  const tags = [element("span", { class: "tag left" }, "before"), element("span", { class: "tag right" }, "restyled")];
  const input = element("input", {
    type: "range", min: 0, max: 100, value: 50, "data-name": "before", "aria-valuetext": "50 % before",
    "aria-label": "Share of the picture that shows the frame before restyling",
  });
  const compare = element("div", { class: "compare", style: shape }, ...pictures, ...tags, input);
  makeSlide(compare);
  return compare;
}

// datasets: all, so that a restyled frame finds itself as it was before.
function frameView(datasets, dataset, frame) {
  const view = document.createDocumentFragment();
  const picture = framePicture(dataset, frame, { numbered: true });
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", dataset.describe(frame));
  const pictures = element("div", { class: "frame-pictures" }, element("figure", {}, picture));
  if (dataset.depth) {
    const depth = framePicture(dataset, frame, { kind: "depths" });
    depth.setAttribute("role", "img");
    depth.setAttribute("aria-label", `Depth of ${dataset.names[frame]}`);
    pictures.append(element("figure", {}, depth, element("figcaption", {}, dataset.depthText(frame))));
  }
  const before = datasets.find((other) => other.name === dataset.before);
  if (before?.names.includes(dataset.names[frame])) {
    const caption = element("figcaption", {}, "Before and after restyling");
    pictures.append(element("figure", {}, comparison(dataset, before, frame), caption));
  }
  const split = dataset.split[frame] ? "validation" : "training";
  const size = `${dataset.width(frame)}\u00d7${dataset.height(frame)} px, shown from ${dataset.sheet.width} px`;
  const place = element("p", { class: "hint" }, element("code", {}, `dataset/${dataset.name}/images/${dataset.names[frame]}`));
  view.append(pictures, instanceTable(dataset, frame), place, element("p", { class: "hint" }, `${size}; for ${split}`));
  return view;
}

class FrameDialog {
  constructor(dialog, datasets) {
    this.dialog = dialog;
    this.datasets = datasets;
    for (const button of dialog.querySelectorAll("[data-step]")) {
      button.addEventListener("click", () => this.step(Number(button.dataset.step)));
    }
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    dialog.addEventListener("keydown", (event) => {
      if (event.target.matches("input") || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      event.preventDefault();
      this.step(event.key === "ArrowLeft" ? -1 : 1);
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it
    dialog.addEventListener("close", () => this.grid.focus(this.position));
  }

  open(grid, position) {
    this.grid = grid;
    this.show(position);
    this.dialog.showModal();
    this.dialog.querySelector('[data-step="1"]').focus();
  }

  step(by) {
    this.show(Math.min(Math.max(this.position + by, 0), this.grid.frames.length - 1));
  }

  show(position) {
    this.position = position;
    const { dataset, frames } = this.grid;
    const title = this.dialog.querySelector("h3");
    title.textContent = `${dataset.names[frames[position]]} `;
    const place = `${grouped(position + 1)} of ${grouped(frames.length)}`;
    title.append(element("span", { class: "aside", "aria-live": "polite" }, place));
    this.dialog.querySelector(".frame-view-content").replaceChildren(frameView(this.datasets, dataset, frames[position]));
  }
}
