for (const gallery of document.querySelectorAll(".gallery")) {
  for (const button of gallery.querySelectorAll("button[data-layer]")) {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      gallery.dataset[button.dataset.layer] = on ? "on" : "off";
    });
  }
  for (const frame of gallery.querySelectorAll(".frame")) {
    frame.addEventListener("click", () => frame.classList.toggle("bare"));
    frame.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        frame.classList.toggle("bare");
      }
    });
  }
}
for (const compare of document.querySelectorAll(".compare")) {
  compare.querySelector("input").addEventListener("input", (event) => {
    compare.style.setProperty("--split", event.target.value + "%");
  });
}
