// The form that says which frames are wanted.
const SIZE_STEPS = [0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 1]; // shares of the image

class Filters {
  constructor(form, changed) {
    this.form = form;
    this.changed = changed;
    for (const name of ["visibility", "size"]) {
      this[name] = ["low", "high"].map((end) => form.querySelector(`#browser-${name}-${end}`));
      this[`${name}Text`] = form.querySelector(`#browser-${name}-text`);
    }
    form.addEventListener("input", (event) => {
      for (const [low, high] of [this.visibility, this.size]) {
        // the end that is moved pushes the other
        if (event.target === low && Number(low.value) > Number(high.value)) high.value = low.value;
        if (event.target === high && Number(high.value) < Number(low.value)) low.value = high.value;
      }
      this.tell();
    });
    form.addEventListener("reset", () => setTimeout(() => this.tell())); // once the fields are reset
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  // Offers the classes of a dataset, all of them wanted.
  offer(dataset) {
    const counts = dataset.classCounts();
    const chips = dataset.classes.map((name, index) => this.chip(String(index), name, counts[index], (index % 6) + 1));
    const unlabelled = dataset.unlabelledCount();
    if (unlabelled) chips.push(this.chip("none", "frames without annotation", unlabelled));
    this.form.querySelector(".chips").replaceChildren(...chips);
    this.tell();
  }

  chip(value, name, count, colour) {
    const input = element("input", { type: "checkbox", value, checked: "" });
    const parts = [input, name, element("span", { class: "aside" }, grouped(count))];
    if (colour) parts.splice(1, 0, element("i", { style: `--c: var(--s${colour})` }));
    return element("label", { class: "chip" }, ...parts);
  }

  wanted() {
    const chosen = [...this.form.querySelectorAll(".chips input:checked")].map((input) => input.value);
    const split = this.form.querySelector("#browser-split").value;
    return {
      classes: new Set(chosen.filter((value) => value !== "none").map(Number)),
      unlabelled: chosen.includes("none"),
      split: split === "" ? null : Number(split),
      visibility: this.visibility.map((input) => Number(input.value) / 100),
      size: this.size.map((input) => SIZE_STEPS[Number(input.value)]),
    };
  }

  tell() {
    const wanted = this.wanted();
    for (const name of ["visibility", "size"]) {
      this[`${name}Text`].textContent = wanted[name].map(percent).join(" to ");
      this[name].forEach((input, end) => input.setAttribute("aria-valuetext", percent(wanted[name][end])));
    }
    this.changed(wanted);
  }
}
