// The networks of `browser.py`: maps are Float32Arrays of (channels, height, width).
function network(data) {
  const bytes = Uint8Array.from(atob(data.weights), (character) => character.charCodeAt(0));
  const weights = new Float32Array(bytes.buffer);
  let at = 0;
  const take = (count) => weights.subarray(at, (at += count));
  const layer = ([inputs, outputs, kernel, stride]) => (
    {inputs, outputs, kernel, stride, weight: take(outputs * inputs * kernel * kernel), bias: take(outputs)}
  );
  const offset = take(data.channels * data.size * data.size);
  const stem = layer(data.stem);
  const blocks = data.blocks.map(({convolutions, skip}) => ({convolutions: convolutions.map(layer), skip}));
  const width = (blocks.length ? blocks.at(-1).convolutions.at(-1) : stem).outputs;
  const weight = take(data.classes.length * width), bias = take(data.classes.length);

  return (pixels) => {  // of values from 0 to 255, as large as the network's input; returns the logits
    let map = {values: offset.map((value, i) => value + data.scale * pixels[i]), size: data.size};
    map = relu(convolve(stem, map));
    for (const {convolutions, skip} of blocks) {
      let out = map;
      convolutions.forEach((one, i) => { out = convolve(one, i ? relu(out) : out); });
      map = relu(skip ? add(out, map, skip) : out);
    }
    const area = map.size * map.size;
    return Array.from(bias, (start, k) => {
      let sum = 0;
      for (let c = 0; c < width; c++) {
        let total = 0;
        for (let i = 0; i < area; i++) total += map.values[c * area + i];
        sum += weight[k * width + c] * total / area;
      }
      return start + sum;
    });
  };
}

function convolve({inputs, outputs, kernel, stride, weight, bias}, {values, size}) {
  const pad = kernel >> 1, side = Math.ceil(size / stride), out = new Float32Array(outputs * side * side);
  for (let o = 0; o < outputs; o++) {
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        let sum = bias[o];
        for (let c = 0; c < inputs; c++) {
          for (let i = 0; i < kernel; i++) {
            const row = y * stride + i - pad;
            if (row < 0 || row >= size) continue;
            for (let j = 0; j < kernel; j++) {
              const column = x * stride + j - pad;
              if (column < 0 || column >= size) continue;
              sum += weight[((o * inputs + c) * kernel + i) * kernel + j] * values[(c * size + row) * size + column];
            }
          }
        }
        out[(o * side + y) * side + x] = sum;
      }
    }
  }
  return {values: out, size: side};
}

function relu({values, size}) {
  return {values: values.map((value) => Math.max(0, value)), size};
}

function add(out, map, {before, stride}) {  // F(x) + x: x with every stride-th pixel and zero channels around
  const area = out.size * out.size, channels = map.values.length / (map.size * map.size);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < out.size; y++) {
      for (let x = 0; x < out.size; x++) {
        out.values[(c + before) * area + y * out.size + x] += map.values[(c * map.size + y * stride) * map.size + x * stride];
      }
    }
  }
  return out;
}

function softmax(logits) {
  const top = Math.max(...logits), powers = logits.map((value) => Math.exp(value - top));
  const sum = powers.reduce((one, other) => one + other);
  return powers.map((value) => value / sum);
}
