// A node program of sigma that draws squares: pixels of an image, edge to edge, with a thin rim in the colour of the paper.

const rim = { color: [1, 1, 1] };

function squareProgram() {
  const { FLOAT, UNSIGNED_BYTE, TRIANGLES } = WebGLRenderingContext;
  const corner = (k) => [Math.PI / 4 + (k * Math.PI) / 2];
  return class extends Sigma.rendering.NodeProgram {
    getDefinition() {
      return {
        VERTICES: 6,
        METHOD: TRIANGLES,
        VERTEX_SHADER_SOURCE: `
          attribute vec4 a_id;
          attribute vec4 a_color;
          attribute vec2 a_position;
          attribute float a_size;
          attribute float a_corner;
          uniform mat3 u_matrix;
          uniform float u_sizeRatio;
          uniform float u_correctionRatio;
          uniform float u_cameraAngle;
          varying vec4 v_color;
          varying vec2 v_corner;
          varying float v_inner;
          void main() {
            v_inner = 1.0 - max(0.05, 0.6 * u_sizeRatio / a_size); // at least 0.6 pixels of rim
            v_corner = 1.41421356 * vec2(cos(a_corner), sin(a_corner));
            float reach = a_size * u_correctionRatio / u_sizeRatio * 2.0 * 1.41421356;
            float angle = a_corner + u_cameraAngle;
            vec2 place = a_position + reach * vec2(cos(angle), sin(angle));
            gl_Position = vec4((u_matrix * vec3(place, 1.0)).xy, 0.0, 1.0);
            #ifdef PICKING_MODE
            v_color = a_id;
            #else
            v_color = a_color;
            #endif
            v_color.a *= 255.0 / 254.0;
          }`,
        FRAGMENT_SHADER_SOURCE: `
          precision mediump float;
          varying vec4 v_color;
          varying vec2 v_corner;
          varying float v_inner;
          uniform vec3 u_rim;
          void main() {
            gl_FragColor = v_color;
            #ifndef PICKING_MODE
            if (max(abs(v_corner.x), abs(v_corner.y)) > v_inner) gl_FragColor = vec4(u_rim, 1.0);
            #endif
          }`,
        UNIFORMS: ["u_rim", "u_matrix", "u_sizeRatio", "u_correctionRatio", "u_cameraAngle"],
        ATTRIBUTES: [
          { name: "a_position", size: 2, type: FLOAT },
          { name: "a_size", size: 1, type: FLOAT },
          { name: "a_color", size: 4, type: UNSIGNED_BYTE, normalized: true },
          { name: "a_id", size: 4, type: UNSIGNED_BYTE, normalized: true },
        ],
        CONSTANT_ATTRIBUTES: [{ name: "a_corner", size: 1, type: FLOAT }],
        CONSTANT_DATA: [0, 1, 2, 0, 2, 3].map(corner),
      };
    }
    processVisibleItem(node, start, data) {
      this.array.set([data.x, data.y, data.size, Sigma.utils.floatColor(data.color), node], start);
    }
    setUniforms(params, { gl, uniformLocations }) {
      gl.uniform3fv(uniformLocations.u_rim, rim.color);
      gl.uniformMatrix3fv(uniformLocations.u_matrix, false, params.matrix);
      gl.uniform1f(uniformLocations.u_sizeRatio, params.sizeRatio);
      gl.uniform1f(uniformLocations.u_correctionRatio, params.correctionRatio);
      gl.uniform1f(uniformLocations.u_cameraAngle, params.cameraAngle);
    }
  };
}
