// The Gaussians of a model as the shader reads them, three texels each: mean and opacity; covariance xx, xy, xz, yy;
// covariance yz, zz, colour as one whole number.
const TEXTURE_WIDTH = 1536;

class SplatModel {
  constructor(text) {
    const stored = JSON.parse(text);
    for (const key of ["name", "count", "eye", "target", "up", "radius"]) this[key] = stored[key];
    const means = numbersOf(stored.means);
    const scales = numbersOf(stored.log_scales);
    const quaternions = numbersOf(stored.quaternions);
    const rgba = numbersOf(stored.rgba);
    const { means_low: low, means_high: high, log_scales_low: least, log_scales_high: most } = stored;
    this.rows = Math.ceil((3 * this.count) / TEXTURE_WIDTH);
    this.texels = new Float32Array(4 * TEXTURE_WIDTH * this.rows);
    for (let i = 0; i < this.count; i++) {
      const at = 12 * i;
      for (let axis = 0; axis < 3; axis++) {
        this.texels[at + axis] = low[axis] + ((high[axis] - low[axis]) * means[3 * i + axis]) / 65535;
      }
      this.texels[at + 3] = rgba[4 * i + 3] / 255;
      const variances = [0, 1, 2].map((axis) => Math.exp(2 * (least + ((most - least) * scales[3 * i + axis]) / 255)));
      this.texels.set(covariance(quaternions.subarray(4 * i, 4 * i + 4), variances), at + 4);
      this.texels[at + 10] = 65536 * rgba[4 * i] + 256 * rgba[4 * i + 1] + rgba[4 * i + 2];
    }
  }

  // Numbers of the Gaussians from the farthest to the nearest along `forward` [3]: a counting sort by depth.
  order(forward) {
    const buckets = 65536;
    const depths = new Float64Array(this.count);
    let [near, far] = [Infinity, -Infinity];
    for (let i = 0; i < this.count; i++) {
      const at = 12 * i;
      depths[i] = forward[0] * this.texels[at] + forward[1] * this.texels[at + 1] + forward[2] * this.texels[at + 2];
      near = Math.min(near, depths[i]);
      far = Math.max(far, depths[i]);
    }
    const scale = (buckets - 1) / (far - near || 1);
    const starts = new Uint32Array(buckets + 1);
    for (let i = 0; i < this.count; i++) starts[Math.floor((far - depths[i]) * scale) + 1]++;
    for (let bucket = 0; bucket < buckets; bucket++) starts[bucket + 1] += starts[bucket];
    const order = new Uint32Array(this.count);
    for (let i = 0; i < this.count; i++) order[starts[Math.floor((far - depths[i]) * scale)]++] = i;
    return order;
  }
}

function dot(a, b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

function cross(a, b) {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function combine(a, x, b, y) { return [0, 1, 2].map((axis) => a * x[axis] + b * y[axis]); }

function unit(a) { return combine(1 / Math.hypot(...a), a, 0, a); }

// xx, xy, xz, yy, yz, zz of R diag(variances) R^T; the quaternion w, x, y, z has any length.
function covariance([w, x, y, z], variances) {
  const s = 2 / (w * w + x * x + y * y + z * z || 1);
  const rows = [
    [1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
    [s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)],
    [s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)],
  ];
  const entry = (i, j) => dot(rows[i], variances.map((variance, axis) => variance * rows[j][axis]));
  return [entry(0, 0), entry(0, 1), entry(0, 2), entry(1, 1), entry(1, 2), entry(2, 2)];
}
