// The frames of one dataset: their labels, and which of them a filter lets through.
class Dataset {
  constructor(text, number) {
    const stored = JSON.parse(text);
    this.number = number;
    for (const key of ["name", "images", "frames", "before", "sheet", "depth", "depth_unit", "classes", "names"]) {
      this[key] = stored[key];
    }
    this.size = numbersOf(stored.size);
    this.split = numbersOf(stored.split);
    this.depthRange = numbersOf(stored.depth_range);
    this.first = numbersOf(stored.first);
    this.classOf = numbersOf(stored.class);
    this.visibility = numbersOf(stored.visibility); // in 1 / 1000
    this.box = numbersOf(stored.box); // x, y, width, height in pixels
    this.outlineFirst = numbersOf(stored.outline_first);
    this.outlines = numbersOf(stored.outlines);
  }

  width(frame) { return this.size[2 * frame]; }

  height(frame) { return this.size[2 * frame + 1]; }

  // Share of the image that the box of an instance takes, 0..1.
  boxShare(frame, instance) {
    return (this.box[4 * instance + 2] * this.box[4 * instance + 3]) / (this.width(frame) * this.height(frame));
  }

  // Number of instances of each class.
  classCounts() {
    const counts = new Array(this.classes.length).fill(0);
    for (const index of this.classOf) counts[index]++;
    return counts;
  }

  unlabelledCount() {
    let count = 0;
    for (let frame = 0; frame < this.frames; frame++) count += this.first[frame] === this.first[frame + 1];
    return count;
  }

  // wanted: {classes: Set of indices, unlabelled, split or null, visibility: [low, high], size: [low, high]}, shares 0..1.
  filter(wanted) {
    const frames = [];
    let instances = 0;
    for (let frame = 0; frame < this.frames; frame++) {
      if (wanted.split !== null && this.split[frame] !== wanted.split) continue;
      const [start, end] = [this.first[frame], this.first[frame + 1]];
      let matching = 0;
      for (let instance = start; instance < end; instance++) matching += this.matches(frame, instance, wanted);
      instances += matching;
      if (matching || (start === end && wanted.unlabelled)) frames.push(frame);
    }
    return { frames, instances };
  }

  matches(frame, instance, wanted) {
    const visibility = this.visibility[instance] / 1000;
    const share = this.boxShare(frame, instance);
    return (
      wanted.classes.has(this.classOf[instance]) &&
      visibility >= wanted.visibility[0] && visibility <= wanted.visibility[1] &&
      share >= wanted.size[0] && share <= wanted.size[1]
    );
  }

  // Instances of a frame; masks as paths in a square of 255 x 255 that stands for the image.
  labels(frame) {
    const labels = [];
    let place = this.outlineFirst[frame];
    const polygons = () => {
      let path = "";
      for (let left = this.outlines[place++]; left > 0; left--) {
        const corners = [];
        for (let count = this.outlines[place++]; count > 0; count--) {
          corners.push(`${this.outlines[place++]} ${this.outlines[place++]}`);
        }
        path += `M${corners.join("L")}Z`;
      }
      return path;
    };
    for (let instance = this.first[frame]; instance < this.first[frame + 1]; instance++) {
      const visible = polygons();
      labels.push({
        className: this.classes[this.classOf[instance]],
        colour: (this.classOf[instance] % 6) + 1,
        visibility: this.visibility[instance] / 1000,
        boxShare: this.boxShare(frame, instance),
        box: this.box.subarray(4 * instance, 4 * instance + 4),
        visible,
        amodal: polygons() || visible,
      });
    }
    return labels;
  }

  // One line of text that says what the picture shows.
  describe(frame) {
    const labels = this.labels(frame).map((label) => `${label.className} ${percent(label.visibility)} visible`);
    return `${this.names[frame]}: ${labels.join(", ") || "no annotation"}`;
  }

  depthText(frame) {
    const [near, far] = this.depthRange.subarray(2 * frame, 2 * frame + 2);
    if (Number.isNaN(near)) return "Depth: nothing there";
    const unit = this.depth_unit ? `\u00a0${this.depth_unit}` : ", in no known unit";
    return `Depth: ${near.toFixed(0)} (bright) to ${far.toFixed(0)}${unit} (dark)`;
  }
}
