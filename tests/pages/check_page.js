// What is wrong with a page as it is shown now: a list of sentences.
(options) => {
  const found = [];
  const name = (one) => `${one.tagName.toLowerCase()}.${[...one.classList].join(".")} ${one.textContent.trim().slice(0, 40)}`;
  const seen = (one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !one.closest(".sr, .skip, .stacked thead");
  const all = [...document.body.querySelectorAll("*")].filter(seen);

  if (document.documentElement.scrollWidth > innerWidth) found.push(`the page is ${document.documentElement.scrollWidth} wide`);
  for (const one of all) {
    const box = one.getBoundingClientRect(), style = getComputedStyle(one);
    if (!one.closest(".scroll, svg, .view") && (box.right > innerWidth + 1 || box.left < -1)) found.push(`beyond the page: ${name(one)}`);
    if (one.ownerSVGElement || one.tagName === "IMG" || !one.textContent.trim()) continue;
    if (/hidden|clip/.test(style.overflowX) && one.scrollWidth > one.clientWidth + 1) found.push(`clipped: ${name(one)}`);
    if (/hidden|clip/.test(style.overflowY) && one.scrollHeight > one.clientHeight + 1) found.push(`clipped below: ${name(one)}`);
  }
  for (const region of all.filter((one) => one.matches(".scroll"))) {
    if (region.scrollWidth <= region.clientWidth + 1) continue;
    if (region.querySelector("table")) found.push(`columns that are not seen: ${name(region)}`);
    else if (getComputedStyle(region, "::before").content === "none") found.push(`no word on scrolling: ${name(region)}`);
  }

  for (const svg of all.filter((one) => one.matches(".plot > svg"))) {
    const place = svg.getBoundingClientRect(), words = [...svg.querySelectorAll("text")];
    if (!words.length) found.push("a plot without text");
    if (svg.querySelector("[id*=DejaVu]")) found.push("a plot's letters are drawn");
    for (const word of words) {
      const box = word.getBoundingClientRect();
      const size = Number.parseFloat(getComputedStyle(word).fontSize) * place.width / svg.viewBox.baseVal.width;
      if (box.left < place.left - 2 || box.right > place.right + 2 || box.top < place.top - 2 || box.bottom > place.bottom + 2) {
        found.push(`clipped in its plot: ${word.textContent}`);
      }
      if (size < 8) found.push(`${size.toFixed(1)} px: ${word.textContent}`);
    }
  }

  // Contrast by WCAG 2 (AA): 4.5, of large text 3.
  const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const parsed = (colour) => {
    if (!known.has(colour)) {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 1, 1);
      const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
      known.set(colour, [red, green, blue, alpha / 255]);
    }
    return known.get(colour);
  };
  const over = (top, bottom, alpha = top[3]) => [0, 1, 2].map((i) => top[i] * alpha + bottom[i] * (1 - alpha)).concat(1);
  const grounds = new Map([[null, [255, 255, 255, 1]]]);
  const ground = (one) => {
    if (!grounds.has(one)) {
      const colour = parsed(getComputedStyle(one).backgroundColor);
      grounds.set(one, colour[3] === 1 ? colour : over(colour, ground(one.parentElement)));
    }
    return grounds.get(one);
  };
  const luminance = (colour) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const value = colour[i] / 255;
    return sum + weight * (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  }, 0);
  for (const one of options.contrast ? all : []) {
    if (one.tagName === "CANVAS" || ![...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    if (one.closest("title, script, style")) continue;
    const style = getComputedStyle(one), inPlot = one.ownerSVGElement;
    let behind = ground(inPlot ? inPlot.parentElement : one);
    const cell = inPlot && one.closest("g.cell")?.querySelector("rect");
    if (cell) behind = over(parsed(getComputedStyle(cell).fill), behind, Number(getComputedStyle(cell).fillOpacity));
    const colour = parsed(inPlot ? style.fill : style.color);
    if (colour[3] === 0) continue;  // a mark that only its colour says, and that the words next to it say
    const [lighter, darker] = [luminance(over(colour, behind)), luminance(behind)].sort((a, b) => b - a);
    const size = Number.parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const contrast = (lighter + 0.05) / (darker + 0.05);
    if (contrast < least) found.push(`contrast ${contrast.toFixed(2)}: ${name(one)}`);
  }
  return [...new Set(found)];
}
