// Images that are chosen, dropped or pasted are sent one by one, a few at once; each answer has its card.
const { most, mostText, explain } = document.body.dataset;
const results = document.getElementById("results");
const drop = document.getElementById("drop");
const chooser = document.getElementById("file");
const maps = document.getElementById("maps");
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
const waiting = [];
let busy = 0;

for (const one of document.querySelectorAll(".here")) one.textContent = new URL(".", location.href).href;

const ask = async (file) => {
  if (file.size > Number(most)) throw new Error(`The file is larger than ${mostText}, the most that this server takes.`);
  for (let attempt = 1; ; attempt += 1) {
    let response;
    try {
      response = await fetch(`predict?top=5&explain=${explain}`, { method: "POST", body: file });
    } catch {
      throw new Error("The server does not answer.");
    }
    if (response.status === 503 && attempt < 10) {
      await pause(Number(response.headers.get("Retry-After")) || 1);
      continue;
    }
    const answer = await response.json().catch(() => ({ error: `The server answered ${response.status}.` }));
    if (!response.ok) throw new Error(answer.error.replace(/^image: /, ""));  // the card has its name
    return answer.predictions[0];
  }
};

const draw = (card, { classes, explanation }) => {
  card.querySelector(".note").hidden = true;
  for (const { name, probability } of classes) {
    const row = document.createElement("li");
    const [label, number, bar] = ["span", "b", "i"].map((tag) => row.appendChild(document.createElement(tag)));
    label.textContent = name;
    number.textContent = percent(probability);
    bar.setAttribute("aria-hidden", "true");
    bar.style.setProperty("--p", probability);
    card.querySelector(".probabilities").append(row);
  }
  if (!explanation) return;
  const [width, height] = explanation.size;
  const [left, top, right, bottom] = explanation.region;
  const map = card.querySelector(".map");
  map.src = explanation.map;
  map.style.left = `${(100 * left) / width}%`;
  map.style.top = `${(100 * top) / height}%`;
  map.style.width = `${(100 * (right - left)) / width}%`;
  map.style.height = `${(100 * (bottom - top)) / height}%`;
  map.hidden = false;
};

const work = async () => {
  if (busy === 4 || waiting.length === 0) return;
  busy += 1;
  const { card, file } = waiting.shift();
  try {
    const answer = await ask(file);
    draw(card, answer);
    card.dataset.state = "answered";
    document.getElementById("status").textContent = `${file.name}: ${answer.classes[0].name}, ${percent(answer.classes[0].probability)}`;
  } catch (error) {
    card.dataset.state = "failed";
    card.querySelector(".note").textContent = error.message;
    document.getElementById("status").textContent = error.message;
  }
  busy -= 1;
  work();
};

const add = (files) => {
  const cards = [...files].map((file) => {
    const card = document.getElementById("result").content.firstElementChild.cloneNode(true);
    const photo = card.querySelector(".photo");
    card.querySelector(".file").textContent = file.name;
    photo.onload = () => {
      card.querySelector(".view").style.setProperty("--ratio", photo.naturalWidth / photo.naturalHeight);
      photo.classList.toggle("tiny", photo.naturalWidth < 128);
      URL.revokeObjectURL(photo.src);
    };
    photo.onerror = () => card.classList.add("unseen");  // of a format that the browser does not show
    photo.src = URL.createObjectURL(file);
    waiting.push({ card, file });
    return card;
  });
  if (cards.length === 0) return;
  results.prepend(...cards);
  document.querySelector(".answers").hidden = false;
  for (let number = 0; number < cards.length; number += 1) work();
};

chooser.addEventListener("change", () => { add(chooser.files); chooser.value = ""; });
addEventListener("paste", (event) => add(event.clipboardData.files));
let within = 0;
addEventListener("dragenter", (event) => { event.preventDefault(); within += 1; drop.classList.add("over"); });
addEventListener("dragleave", () => { within -= 1; if (within === 0) drop.classList.remove("over"); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  within = 0;
  drop.classList.remove("over");
  add(event.dataTransfer.files);
});
document.getElementById("clear").addEventListener("click", () => {
  waiting.length = 0;
  results.replaceChildren();
  document.querySelector(".answers").hidden = true;
  chooser.focus();
});
maps?.addEventListener("change", () => document.body.classList.toggle("without-maps", !maps.checked));
