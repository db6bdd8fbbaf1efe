// A model that can be turned: a camera on a sphere about the point that is looked at.
const FIELD_OF_VIEW = (50 * Math.PI) / 180;
const MOST_PIXELS = 700_000; // enough to look sharp, few enough for a processor to draw
const KEYS = {
  ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", "+": "closer", "=": "closer", "-": "farther",
  0: "reset",
};

class SplatView {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.message = root.querySelector(".splat-message");
    this.texts = [...document.querySelectorAll("script.splat-data")].map((script) => script.textContent);
    this.models = [];
    root.hidden = false;
    root.querySelector("select").addEventListener("change", (event) => this.choose(Number(event.target.value)));
    for (const button of root.querySelectorAll("[data-action]")) {
      button.addEventListener("click", () => this.act(button.dataset.action));
    }
    this.listen();
    // a model is unpacked when the view first comes into sight
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      this.start();
    }, { rootMargin: "300px" });
    observer.observe(this.canvas);
  }

  start() {
    const gl = this.canvas.getContext("webgl2", { antialias: false });
    if (!gl) {
      this.message.textContent = "This browser has no WebGL 2, so the splat cannot be shown.";
      return;
    }
    this.gl = gl;
    gl.useProgram(this.program = splatProgram(gl));
    this.order = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.order);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribIPointer(0, 1, gl.UNSIGNED_INT, 0, 0);
    gl.vertexAttribDivisor(0, 1);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    }
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    new ResizeObserver(() => this.later()).observe(this.canvas);
    this.choose(Number(this.root.querySelector("select").value));
  }

  choose(number) {
    if (!this.gl) return;
    const { gl } = this;
    const model = (this.models[number] ??= new SplatModel(this.texts[number]));
    this.model = model;
    const size = [TEXTURE_WIDTH, model.rows];
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, ...size, 0, gl.RGBA, gl.FLOAT, model.texels);
    this.canvas.setAttribute("aria-label", `Splat of ${model.name}, which can be turned`);
    this.act("reset");
  }

  act(action) {
    if (!this.model) return;
    const step = Math.PI / 18;
    if (action === "reset") {
      this.yaw = this.pitch = 0;
      this.distance = Math.hypot(...combine(1, this.model.target, -1, this.model.eye));
    }
    if (action === "left") this.turn(-step, 0);
    if (action === "right") this.turn(step, 0);
    if (action === "up") this.turn(0, -step);
    if (action === "down") this.turn(0, step);
    if (action === "closer") this.approach(1 / 1.2);
    if (action === "farther") this.approach(1.2);
    this.later();
  }

  // The model turns with the hand: the camera goes the other way.
  turn(right, down) {
    this.yaw -= right;
    this.pitch = Math.min(Math.max(this.pitch + down, -1.5), 1.5);
    this.later();
  }

  approach(factor) {
    if (!this.model) return;
    const { radius } = this.model;
    this.distance = Math.min(Math.max(this.distance * factor, 0.05 * radius), 8 * radius);
    this.later();
  }

  listen() {
    const { canvas } = this;
    const held = new Map(); // pointers by id
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      held.set(event.pointerId, event);
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = held.get(event.pointerId);
      if (!before || !this.model) return;
      const span = () => {
        const [a, b] = [...held.values()];
        return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) || 1;
      };
      const wide = held.size === 2 ? span() : 0;
      held.set(event.pointerId, event);
      if (wide) this.approach(wide / span());
      const share = (held.size > 1 ? 0.5 : 1) * (Math.PI / canvas.clientWidth);
      this.turn(share * (event.clientX - before.clientX), share * (event.clientY - before.clientY));
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => held.delete(event.pointerId));
    }
    canvas.addEventListener("keydown", (event) => {
      if (!(event.key in KEYS) || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      this.act(KEYS[event.key]);
    });
    // only in focus: who scrolls past does not want to be held up
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return;
      event.preventDefault();
      this.approach(Math.exp(0.001 * event.deltaY));
    }, { passive: false });
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.gl = null;
    });
    canvas.addEventListener("webglcontextrestored", () => this.start());
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.gl && this.model) this.draw();
    });
  }

  draw() {
    const { gl, model, canvas, program } = this;
    const shown = canvas.clientWidth * canvas.clientHeight;
    const ratio = Math.min(window.devicePixelRatio, Math.sqrt(MOST_PIXELS / shown));
    const size = [Math.max(1, Math.round(canvas.clientWidth * ratio)), Math.max(1, Math.round(canvas.clientHeight * ratio))];
    [canvas.width, canvas.height] = size;
    gl.viewport(0, 0, ...size);
    const { eye, right, down, forward } = this.camera();
    const uniform = (name) => gl.getUniformLocation(program, name);
    // column by column
    gl.uniformMatrix3fv(uniform("turn"), false, [0, 1, 2].flatMap((axis) => [right[axis], down[axis], forward[axis]]));
    gl.uniform3fv(uniform("eye"), eye);
    gl.uniform2fv(uniform("viewport"), size);
    gl.uniform1f(uniform("focal"), size[1] / 2 / Math.tan(FIELD_OF_VIEW / 2));
    gl.uniform1f(uniform("near"), 0.02 * model.radius);
    gl.bufferData(gl.ARRAY_BUFFER, model.order(forward), gl.DYNAMIC_DRAW);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, model.count);
  }

  // Eye, and the camera's axes in the world: yaw about the first view's up, then pitch.
  camera() {
    const ahead = unit(combine(1, this.model.target, -1, this.model.eye));
    const side = unit(cross(ahead, this.model.up));
    const up = cross(side, ahead);
    const level = combine(Math.cos(this.yaw), ahead, Math.sin(this.yaw), side);
    const right = unit(cross(level, up));
    const forward = combine(Math.cos(this.pitch), level, -Math.sin(this.pitch), up);
    return { eye: combine(1, this.model.target, -this.distance, forward), right, down: cross(forward, right), forward };
  }
}

const splatRoot = document.querySelector(".splat-view");
if (splatRoot) new SplatView(splatRoot);
