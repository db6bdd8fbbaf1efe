// Two pictures of the same size, of which a slider shows more of the one or of the other.
function makeSlide(compare) {
  const input = compare.querySelector("input");
  input.addEventListener("input", () => {
    compare.style.setProperty("--split", `${input.value}%`);
    input.setAttribute("aria-valuetext", `${input.value} % ${input.dataset.name}`);
  });
}

for (const compare of document.querySelectorAll(".compare")) makeSlide(compare);
