"use strict";

// Tables: a click on a head sorts by it, another turns the order round.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const falling = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(a.cells[column].dataset.key, b.cells[column].dataset.key, falling ? -1 : 1));
    table.tBodies[0].append(...rows);
  }));
}

function compare(a, b, sign) {
  if (a === "" || b === "") return a === b ? 0 : a === "" ? 1 : -1; // what is unknown comes last either way
  const numbers = [Number(a), Number(b)];
  return sign * (numbers.some(Number.isNaN) ? a.localeCompare(b) : numbers[0] - numbers[1]);
}

const places = document.getElementById("places");
if (places) {
  const cards = [...places.querySelectorAll(".place")];
  const control = (id) => document.getElementById(id);
  const differ = new Map(cards.map((card) => [card, JSON.parse(card.dataset.differ)]));
  const share = (card, left, right) => differ.get(card)[`${left}|${right}`] ?? differ.get(card)[`${right}|${left}`] ?? 0;
  const source = (card, name) => card.querySelector(`figure[data-model="${CSS.escape(name)}"] img.mask`);

  for (const card of cards) {
    const slider = card.querySelector(".swipe input");
    slider.addEventListener("input", () => card.querySelector(".swipe").style.setProperty("--at", `${slider.value}%`));
  }

  const show = () => {
    const [left, right] = [control("left").value, control("right").value];
    for (const card of cards) {
      for (const [side, name] of [["left", left], ["right", right]]) {
        card.querySelector(`.swipe .${side}`).src = source(card, name).src;
        card.querySelector(`.tag-${side}`).textContent = name;
      }
      card.querySelector(".share").textContent = `${share(card, left, right).toFixed(1)} % differ`;
      mark(card, source(card, left), source(card, right));
    }
    cards.sort((a, b) => share(b, left, right) - share(a, left, right));
    control("cards").append(...cards);
  };

  // Hatching over every pixel where left and right have different colors.
  const mark = async (card, left, right) => {
    const canvas = card.querySelector(".marks");
    canvas.hidden = !control("differences").checked;
    if (canvas.hidden) return;
    const [a, b] = [await pixels(left), await pixels(right)];
    canvas.width = a.width;
    canvas.height = a.height;
    const drawn = new ImageData(a.width, a.height);
    for (let i = 0; i < a.data.length; i += 4) {
      if (a.data[i] === b.data[i] && a.data[i + 1] === b.data[i + 1] && a.data[i + 2] === b.data[i + 2]) continue;
      const place = i / 4;
      const light = ((place % a.width) + Math.floor(place / a.width)) % 4 < 2 ? 255 : 0;
      drawn.data.set([light, light, light, 255], i);
    }
    canvas.getContext("2d").putImageData(drawn, 0, 0);
  };

  const pixels = async (image) => {
    if (!image.complete) await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  };

  // Okabe and Ito's colors in place of the data set's own, and back.
  const SAFE = ["#0072b2", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#56b4e9", "#d55e00", "#000000", "#ffffff", "#777777"];
  const masks = [...places.querySelectorAll("figure img.mask")];
  const originals = new Map(masks.map((mask) => [mask, mask.src]));
  const entries = [...places.querySelectorAll(".legend li")];
  const channels = (color) => [1, 3, 5].map((place) => parseInt(color.slice(place, place + 2), 16));

  const recolor = async () => {
    const safe = control("safe").checked && entries.length <= SAFE.length;
    entries.forEach((entry, place) => { entry.firstElementChild.style.background = safe ? SAFE[place] : entry.dataset.color; });
    const table = new Map(entries.map((entry, place) => [channels(entry.dataset.color).join(), channels(SAFE[place] ?? "#000000")]));
    for (const mask of masks) {
      mask.src = originals.get(mask);
      if (!safe) continue;
      const drawn = await pixels(mask);
      for (let i = 0; i < drawn.data.length; i += 4) {
        const color = table.get(drawn.data.slice(i, i + 3).join());
        if (color && drawn.data[i + 3]) drawn.data.set(color, i);
      }
      const canvas = document.createElement("canvas");
      canvas.width = drawn.width;
      canvas.height = drawn.height;
      canvas.getContext("2d").putImageData(drawn, 0, 0);
      mask.src = canvas.toDataURL();
    }
    show();
  };

  for (const id of ["left", "right", "differences"]) control(id).addEventListener("change", show);
  control("safe").addEventListener("change", recolor);
  control("tint").addEventListener("input", () => places.style.setProperty("--tint", control("tint").value / 100));
  show();
}

// A link to what is folded opens it.
const unfold = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", unfold);
unfold();

// Everything opens on paper.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
