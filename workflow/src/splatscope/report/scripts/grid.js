// A grid of any number of frames, of which only those in sight are in the document.
const CAPTION_PX = 22, GAP_PX = 8;

class Grid {
  // on.shown(frame): pointed at or in focus; on.opened(position): clicked, or Enter.
  constructor(root, on) {
    this.root = root;
    this.list = root.querySelector("ul");
    this.on = on;
    this.cells = new Map(); // by position in `frames`
    this.active = 0; // position that the Tab key leads to
    root.addEventListener("scroll", () => this.later(), { passive: true });
    root.addEventListener("keydown", (event) => this.moveByKey(event));
    new ResizeObserver(() => this.arrange()).observe(root);
  }

  show(dataset, frames, kind) {
    this.dataset = dataset;
    this.frames = frames;
    this.kind = kind;
    this.active = Math.min(this.active, Math.max(0, frames.length - 1));
    this.clear();
    this.arrange();
  }

  clear() {
    for (const cell of this.cells.values()) cell.remove();
    this.cells.clear();
  }

  arrange() {
    if (!this.dataset) return;
    const width = this.root.clientWidth;
    const columns = Math.max(2, Math.floor((width + GAP_PX) / ((width < 500 ? 104 : 150) + GAP_PX)));
    this.columns = columns;
    this.cellWidth = (width - GAP_PX * (columns - 1)) / columns;
    this.pictureHeight = (this.cellWidth * this.dataset.sheet.height) / this.dataset.sheet.width;
    this.rowHeight = this.pictureHeight + CAPTION_PX + GAP_PX;
    this.list.style.height = `${Math.ceil(this.frames.length / columns) * this.rowHeight}px`;
    const focused = this.list.contains(document.activeElement);
    this.clear();
    this.draw();
    if (focused) this.focus(this.active);
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    const top = Math.max(0, Math.floor(this.root.scrollTop / this.rowHeight) - 1);
    const bottom = Math.ceil((this.root.scrollTop + this.root.clientHeight) / this.rowHeight) + 1;
    const [first, last] = [top * this.columns, Math.min(this.frames.length, bottom * this.columns)];
    for (const [position, cell] of this.cells) {
      // what has the focus stays, else the focus would be lost
      if ((position < first || position >= last) && !cell.contains(document.activeElement)) {
        cell.remove();
        this.cells.delete(position);
      }
    }
    for (let position = first; position < last; position++) {
      if (!this.cells.has(position)) this.add(position);
    }
  }

  add(position) {
    const frame = this.frames[position];
    const labels = this.dataset.labels(frame);
    const button = element("button", { type: "button", "aria-label": this.dataset.describe(frame) });
    button.tabIndex = position === this.active ? 0 : -1;
    const box = element("span", { class: "fit", style: `height: ${this.pictureHeight}px` });
    box.append(framePicture(this.dataset, frame, { kind: this.kind }));
    const names = labels.map((label) => `${label.className} ${percent(label.visibility)}`).join(", ");
    button.append(box, element("span", { class: "caption" }, names || "no annotation"));
    button.addEventListener("click", () => { this.activate(position); this.on.opened(position); });
    button.addEventListener("pointerenter", () => this.on.shown(frame));
    button.addEventListener("focus", () => { this.activate(position); this.on.shown(frame); });
    const [row, column] = [Math.floor(position / this.columns), position % this.columns];
    const place = `width: ${this.cellWidth}px; transform: translate(${column * (this.cellWidth + GAP_PX)}px, ${row * this.rowHeight}px)`;
    const cell = element("li", { "aria-setsize": this.frames.length, "aria-posinset": position + 1, style: place }, button);
    // in the document they stand in the order in which they are read
    const after = [...this.cells.keys()].filter((other) => other > position).reduce((a, b) => Math.min(a, b), Infinity);
    this.list.insertBefore(cell, this.cells.get(after) ?? null);
    this.cells.set(position, cell);
  }

  activate(position) {
    this.cells.get(this.active)?.firstChild.setAttribute("tabindex", "-1");
    this.active = position;
    this.cells.get(position)?.firstChild.setAttribute("tabindex", "0");
  }

  focus(position) {
    const row = Math.floor(position / this.columns);
    const [top, bottom] = [row * this.rowHeight, (row + 1) * this.rowHeight];
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    if (bottom > this.root.scrollTop + this.root.clientHeight) this.root.scrollTop = bottom - this.root.clientHeight;
    this.draw();
    this.activate(position);
    this.cells.get(position).firstChild.focus({ preventScroll: true });
  }

  moveByKey(event) {
    const page = this.columns * Math.max(1, Math.floor(this.root.clientHeight / this.rowHeight));
    const steps = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, PageUp: -page, PageDown: page,
      Home: -Infinity, End: Infinity,
    };
    if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey || !this.frames.length) return;
    event.preventDefault();
    this.focus(Math.min(Math.max(this.active + steps[event.key], 0), this.frames.length - 1));
  }
}
