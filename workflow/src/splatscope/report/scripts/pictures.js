// Pictures of frames: a cut-out of a sheet, with labels drawn over it.
const SVG = "http://www.w3.org/2000/svg";
const sheetAddresses = new Map();

// A sheet becomes an image when a frame on it is first looked at.
function sheetAddress(kind, dataset, sheet) {
  const id = `${kind}-${dataset.number}-${sheet}`;
  if (!sheetAddresses.has(id)) {
    const bytes = bytesOf(document.getElementById(id).textContent);
    sheetAddresses.set(id, URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })));
  }
  return sheetAddresses.get(id);
}

// kind: thumbnails or depths.
function showPicture(target, kind, dataset, frame) {
  const { columns } = dataset.sheet;
  const place = frame % (columns * columns);
  const step = 100 / (columns - 1);
  target.style.backgroundImage = `url(${sheetAddress(kind, dataset, Math.floor(frame / (columns * columns)))})`;
  target.style.backgroundSize = `${100 * columns}% ${100 * columns}%`;
  target.style.backgroundPosition = `${(place % columns) * step}% ${Math.floor(place / columns) * step}%`;
}

function svgElement(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// Masks, hidden parts and boxes; which of them show is up to the style sheet. Numbers, where wanted, lead to the list.
function overlay(dataset, frame, numbered) {
  const [width, height] = [dataset.width(frame), dataset.height(frame)];
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const scale = `scale(${width / 255} ${height / 255})`;
  dataset.labels(frame).forEach((label, index) => {
    const group = svgElement("g", { style: `--c: var(--s${label.colour})` });
    group.append(svgElement("path", { class: "amodal", d: label.amodal, transform: scale }));
    group.append(svgElement("path", { class: "mask", d: label.visible, transform: scale }));
    const [x, y, w, h] = label.box;
    group.append(svgElement("rect", { class: "box", x, y, width: w, height: h }));
    if (numbered) {
      const size = Math.round(width / 22);
      const text = svgElement("text", { x: Math.min(x + 3, width - size), y: Math.max(y + size, size), "font-size": size });
      text.textContent = index + 1;
      group.append(text);
    }
    svg.append(group);
  });
  return svg;
}

// A picture of a frame: its class is "picture" and it keeps the image's shape.
function framePicture(dataset, frame, { kind = "thumbnails", numbered = false } = {}) {
  const shape = { style: `aspect-ratio: ${dataset.width(frame)} / ${dataset.height(frame)}` };
  const picture = element("span", { class: "picture", ...shape });
  showPicture(picture, kind, dataset, frame);
  picture.append(overlay(dataset, frame, numbered));
  return picture;
}
