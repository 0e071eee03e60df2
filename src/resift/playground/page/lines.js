// The lines from a passage's place in the first stage to its place now.

import { $, svg } from "./dom.js";

const pair = (id) => [find("first", id), find("final", id) || find("others", id)];

export function find(list, id) {
  return [...$(list).querySelectorAll("[data-id]")].find((row) => row.dataset.id === id) || null;
}

const rows = (list) => new Map([...$(list).querySelectorAll("[data-id]")].map((row) => [row.dataset.id, row]));

/** Draw a line for each hit that both lists show. */
export function drawLines(hits, lit) {
  const lines = $("lines");
  if (getComputedStyle(lines).display === "none") {
    lines.replaceChildren();
    return;
  }
  const frame = $("stages").getBoundingClientRect();
  const [first, final, others] = ["first", "final", "others"].map(rows);
  const drawn = hits.filter((hit) => hit.kept || hit.id === lit);
  drawn.sort((one, other) => (one.id === lit) - (other.id === lit)); // the lit one above all
  const shapes = drawn.flatMap((hit) => { // all places are read before anything is drawn: each change costs a layout
    const ends = [first.get(hit.id), final.get(hit.id) ?? others.get(hit.id)];
    const [from, to] = ends.map((row) => row?.querySelector(".anchor"));
    if (!from?.offsetParent || !to?.offsetParent) return [];
    const [one, other] = [from.getBoundingClientRect(), to.getBoundingClientRect()];
    const [x1, y1] = [one.right - frame.left + 4, one.top + one.height / 2 - frame.top];
    const [x2, y2] = [other.left - frame.left - 4, other.top + other.height / 2 - frame.top];
    const bend = (x2 - x1) / 2;
    const kind = hit.moved > 0 ? "up" : hit.moved < 0 ? "down" : "still";
    const state = hit.id === lit ? " lit" : lit ? " dim" : "";
    const path = `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
    return [
      svg("path", { d: path, class: `line ${kind}${state}` }),
      svg("circle", { cx: x1, cy: y1, r: 3.5, class: `end ${kind}${state}` }),
      svg("circle", { cx: x2, cy: y2, r: 3.5, class: `end ${kind}${state}` }),
    ];
  });
  lines.setAttribute("width", frame.width);
  lines.setAttribute("height", frame.height);
  lines.replaceChildren(...shapes);
}

/** Show which two rows are the same passage. */
export function light(id) {
  for (const row of document.querySelectorAll("#stages .lit-row")) row.classList.remove("lit-row");
  for (const row of id === null ? [] : pair(id)) if (row) row.classList.add("lit-row");
}
