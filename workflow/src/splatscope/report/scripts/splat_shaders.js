// Each Gaussian is a rectangle about its projected ellipse, as in 3D Gaussian splatting: covariance projected by the
// Jacobian of the perspective, widened by 0.3 px, cut off where it adds less than 1 / 255.
const VERTEX_SHADER = `#version 300 es
precision highp float;
precision highp sampler2D;
uniform sampler2D gaussians;
uniform mat3 turn; // camera from world; x right, y down, z forward
uniform vec3 eye;
uniform vec2 viewport; // px
uniform float focal; // px
uniform float near;
in uint number;
out vec2 place; // in standard deviations
out vec4 colour;

vec4 texel(int offset) {
  int at = 3 * int(number) + offset;
  return texelFetch(gaussians, ivec2(at % ${TEXTURE_WIDTH}, at / ${TEXTURE_WIDTH}), 0);
}

void main() {
  vec4 meanAndOpacity = texel(0), first = texel(1), second = texel(2);
  vec3 p = turn * (meanAndOpacity.xyz - eye);
  gl_Position = vec4(0.0, 0.0, 2.0, 1.0); // outside
  if (p.z < near || meanAndOpacity.w < 1.0 / 255.0) return;
  mat3 covariance = mat3(first.x, first.y, first.z, first.y, first.w, second.x, first.z, second.x, second.y);
  vec2 beyond = 0.65 * viewport / focal * p.z; // the Jacobian is no longer good far outside the view
  vec2 bounded = clamp(p.xy, -beyond, beyond);
  vec3 along = vec3(focal / p.z, 0.0, -focal * bounded.x / (p.z * p.z)) * turn;
  vec3 down = vec3(0.0, focal / p.z, -focal * bounded.y / (p.z * p.z)) * turn;
  float xx = dot(along, covariance * along) + 0.3;
  float xy = dot(along, covariance * down);
  float yy = dot(down, covariance * down) + 0.3;
  float mean = 0.5 * (xx + yy), spread = length(vec2(0.5 * (xx - yy), xy));
  vec2 axis = abs(xy) > 1e-6 ? normalize(vec2(xy, mean + spread - xx)) : (xx >= yy ? vec2(1, 0) : vec2(0, 1));
  float reach = sqrt(2.0 * log(255.0 * meanAndOpacity.w));
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
  place = corner * reach;
  vec2 offset = place.x * sqrt(mean + spread) * axis + place.y * sqrt(max(mean - spread, 0.1)) * vec2(-axis.y, axis.x);
  vec2 pixel = focal * p.xy / p.z + offset;
  gl_Position = vec4(pixel * vec2(2.0, -2.0) / viewport, 0.0, 1.0);
  float rgb = second.z;
  colour = vec4(floor(rgb / 65536.0), mod(floor(rgb / 256.0), 256.0), mod(rgb, 256.0), 255.0 * meanAndOpacity.w) / 255.0;
}`;

const FRAGMENT_SHADER = `#version 300 es
precision highp float;
in vec2 place;
in vec4 colour;
out vec4 result;

void main() {
  float alpha = colour.a * exp(-0.5 * dot(place, place));
  if (alpha < 1.0 / 255.0) discard;
  result = vec4(colour.rgb * alpha, alpha);
}`;

function splatProgram(gl) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX_SHADER], [gl.FRAGMENT_SHADER, FRAGMENT_SHADER]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.bindAttribLocation(program, 0, "number");
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  return program;
}
