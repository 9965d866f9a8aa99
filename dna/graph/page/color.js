// Colours of the theme, and scales made of them. Colours for WebGL are premultiplied, as its layers are blended so.

function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => {
    const hex = style.getPropertyValue(`--${name}`).trim();
    return [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
  };
  const names = ["paper", "ink", "muted", "negative", "positive", "neutral", "born", "died", "accent"];
  const palette = Object.fromEntries(names.map((name) => [name, color(name)]));
  palette.tile = [0, 1, 2].map((k) => color(`tile-${k}`));
  palette.age = [0, 1, 2].map((k) => color(`age-${k}`));
  return palette;
}

// A point of a scale of three colours.
function blend(stops, share) {
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const k = Math.min(Math.floor(at), stops.length - 2);
  return stops[k].map((value, c) => value + (stops[k + 1][c] - value) * (at - k));
}

// Blue below zero and orange above, paler near it.
function diverging(palette, share) {
  const end = share < 0 ? palette.negative : palette.positive;
  return blend([palette.tile[0], end], Math.sqrt(Math.abs(share)));
}

function css(color) {
  return `rgb(${color.map(Math.round).join(",")})`;
}

// Sigma keeps opacity as an even byte; colours are multiplied by just that, or faint lines would shine. So there are also few
// different texts to parse. Below 6 no hue is left of a colour.
function premultiplied(color, opacity) {
  const alpha = Math.min(Math.max(6, 2 * Math.round(opacity * 127)), 254);
  const parts = color.map((value) => Math.round((value * alpha) / 254));
  return `rgba(${parts.join(",")},${((alpha + 0.5) / 255).toFixed(5)})`;
}
