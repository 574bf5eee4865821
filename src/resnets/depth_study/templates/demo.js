const runs = data.networks.map(({name, ...one}) => ({name, answer: network(one)}));
const canvas = document.getElementById("drawing"), pen = canvas.getContext("2d");
const seen = document.getElementById("seen").getContext("2d");
const hint = document.querySelector("#drawing ~ .tools small");
let strokes = [];

function show(pixels) {  // 8x8 values from 0 to 255
  const image = seen.createImageData(8, 8);
  pixels.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  seen.putImageData(image, 0, 0);
  runs.forEach(({answer}, number) => {
    const probabilities = softmax(answer(pixels)), best = probabilities.indexOf(Math.max(...probabilities));
    const place = document.getElementById(`answer-${number}`);
    place.querySelector(".digit").textContent = best;
    place.querySelector(".sure").textContent = `${(100 * probabilities[best]).toFixed(1)} %`;
    place.querySelectorAll(".chances i").forEach((bar, digit) => {
      bar.style.height = `${100 * probabilities[digit]}%`;
      bar.classList.toggle("best", digit === best);
    });
    place.dataset.probabilities = JSON.stringify(probabilities);
  });
}

// As the data set was made: the digit fills 32 x 32 points of ink or none; each pixel is the ink in 4 x 4 of them.
function digitized() {
  const points = strokes.flat(), xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
  const left = Math.min(...xs), right = Math.max(...xs), top = Math.min(...ys), bottom = Math.max(...ys);
  const ink = 4, scale = (32 - ink) / Math.max(right - left, bottom - top, 1);
  const raster = Object.assign(document.createElement("canvas"), {width: 32, height: 32});
  const draw = raster.getContext("2d", {willReadFrequently: true});
  draw.translate(16 - scale * (left + right) / 2, 16 - scale * (top + bottom) / 2);
  draw.scale(scale, scale);
  line(draw, ink / scale);
  const alpha = draw.getImageData(0, 0, 32, 32).data, counts = new Array(64).fill(0);
  for (let i = 0; i < 1024; i++) counts[8 * (i >> 7) + ((i & 31) >> 2)] += alpha[4 * i + 3] > 127;
  return counts.map((count) => Math.round(count * 255 / 16));
}

function line(context, width) {
  Object.assign(context, {lineWidth: width, lineCap: "round", lineJoin: "round"});
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(...stroke[0]);
    for (const point of [...stroke, stroke.at(-1)]) context.lineTo(...point);
    context.stroke();
  }
}

function redraw() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.strokeStyle = getComputedStyle(canvas).color;
  line(pen, 22);
  if (strokes.length) return;
  Object.assign(pen, {font: "20px system-ui, sans-serif", textAlign: "center", fillStyle: getComputedStyle(hint).color});
  pen.fillText("draw here", canvas.width / 2, canvas.height / 2);
}

const place = (event) => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
};
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  strokes.push([place(event)]);
  redraw();
});
canvas.addEventListener("pointermove", (event) => {
  if (!canvas.hasPointerCapture(event.pointerId)) return;
  strokes.at(-1).push(place(event));
  redraw();
  show(digitized());
});
canvas.addEventListener("pointerup", () => show(digitized()));
const clear = () => { strokes = []; redraw(); };
document.getElementById("clear").addEventListener("click", clear);
document.querySelectorAll("#samples button").forEach((button, number) => {
  button.addEventListener("click", () => { clear(); show(data.samples[number].pixels); });
  const sample = button.querySelector("canvas").getContext("2d"), image = sample.createImageData(8, 8);
  data.samples[number].pixels.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  sample.putImageData(image, 0, 0);
});
redraw();
show(data.samples[0].pixels);
