// Why a passage has its score: its words, the heat map, and the parts of the score.

import { el, number, svg } from "./dom.js";

const CELL = { wide: 46, narrow: 28, height: 28, valued: 16 };
const SIZE = 13; // of labels, in pixels
const LABEL_LETTERS = 18;

export function drawWhy(explanation) {
  const cut = explanation.truncated ? " Part of the passage went unread." : "";
  return el(
    "div",
    { class: "why-inside" },
    drawText(explanation),
    el(
      "p",
      { class: "small muted legend" },
      el("span", { class: "word for" }, "blue"), " speaks for it, ",
      el("span", { class: "word against" }, "orange"), " against",
      explanation.evidence === null ? "" : el("span", {}, "; the best sentence is ", el("span", { class: "evidence" }, "underlined")),
      `.${cut}`,
    ),
    el("div", { class: "why-columns" }, drawMap(explanation.map), drawParts(explanation)),
  );
}

function drawText(explanation) {
  const pieces = explanation.pieces.map((piece) => {
    if (piece.strength === undefined) return el("span", { class: piece.evidence ? "evidence" : null }, piece.text);
    const speaks = Math.abs(piece.strength) >= 0.06;
    const kind = speaks ? (piece.strength > 0 ? "word for" : "word against") : "word";
    return el(
      "span",
      {
        class: piece.evidence ? `${kind} evidence` : kind,
        style: speaks ? { "--s": Math.abs(piece.strength).toFixed(3) } : {},
        title: speaks ? `${piece.text}: ${number(piece.value, 3)}` : null,
      },
      piece.text,
    );
  });
  return el("p", { class: "passage read", dir: "auto" }, ...pieces);
}

function drawMap({ rows, columns, values, largest }) {
  if (!columns.length) return "";
  const cell = columns.length <= CELL.valued ? CELL.wide : CELL.narrow;
  const left = 14 + Math.max(...rows.map(width));
  const slant = 0.71 * Math.max(...columns.map(width));
  const top = slant + 16;
  const size = { width: Math.ceil(left + cell * columns.length + slant + 6), height: Math.ceil(top + CELL.height * rows.length + 6) };
  const shapes = [
    ...rows.map((name, row) => svg("text", { x: left - 8, y: top + CELL.height * (row + 0.5) + 4.5, "text-anchor": "end" }, label(name))),
    ...columns.map((name, column) => svg("text", { transform: `translate(${left + cell * (column + 0.5)} ${top - 7}) rotate(-45)` }, label(name))),
  ];
  rows.forEach((name, row) => columns.forEach((other, column) => {
    const value = values[row][column];
    const share = largest > 0 ? value / largest : 0;
    const [x, y] = [left + cell * column, top + CELL.height * row];
    const group = svg("g", {}, svg("title", {}, `${name} × ${other}: ${number(value, 3)}`));
    const style = { "--s": Math.min(1, Math.abs(share)).toFixed(3) };
    group.append(svg("rect", { x: x + 1, y: y + 1, width: cell - 2, height: CELL.height - 2, rx: 4, class: share < 0 ? "cell against" : "cell for", style }));
    if (cell === CELL.wide && Math.abs(share) >= 0.05) {
      group.append(svg("text", { x: x + cell / 2, y: y + CELL.height / 2 + 4, "text-anchor": "middle", class: "value" }, number(value)));
    }
    shapes.push(group);
  }));
  const picture = svg("svg", { class: "map", role: "img", "aria-label": spoken(rows, columns, values), ...size, viewBox: `0 0 ${size.width} ${size.height}` }, ...shapes);
  return el(
    "figure",
    { class: "map-frame" },
    el("figcaption", {}, "Question words × passage words"),
    el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Heat map" }, picture),
  );
}

/** Return the strongest pairs in words, for who can't see the picture. */
function spoken(rows, columns, values) {
  const pairs = rows.flatMap((name, row) => columns.map((other, column) => [values[row][column], `${name} and ${other}`]));
  pairs.sort((one, other) => other[0] - one[0]);
  const strongest = pairs.slice(0, 5).filter(([value]) => value > 0);
  return `The strongest pairs of words: ${strongest.map(([value, names]) => `${names} ${number(value)}`).join(", ")}`;
}

function drawParts(explanation) {
  const rows = explanation.parts.length
    ? explanation.parts
    : explanation.words.map((word) => ({ name: word.text, value: word.value }));
  if (!rows.length) return "";
  const title = explanation.parts.length ? "Parts of the score" : "Words that contribute most";
  const largest = Math.max(...rows.map((row) => Math.abs(row.value)));
  const lines = rows.map((row) => el(
    "tr",
    {},
    el("th", { scope: "row" }, row.name),
    el("td", { class: "number" }, number(row.value)),
    el("td", { class: "share" }, el("span", { class: row.value < 0 ? "against" : "for", style: { width: `${(100 * Math.abs(row.value)) / largest}%` } })),
  ));
  if (explanation.parts.length) {
    lines.push(el("tr", { class: "total" }, el("th", { scope: "row" }, "score"), el("td", { class: "number" }, number(explanation.score)), el("td")));
  }
  return el("table", { class: "parts" }, el("caption", {}, title), el("tbody", {}, ...lines));
}

function label(name) {
  const line = [...name.replace(/\s+/gu, " ").trim()];
  return line.length <= LABEL_LETTERS ? line.join("") : `${line.slice(0, LABEL_LETTERS - 1).join("")}…`;
}

/** About how wide a label is: as resift.report.letters says it, rather too much than too little. */
function width(name) {
  return [...label(name)].reduce((sum, letter) => sum + SIZE * letterWidth(letter), 0);
}

function letterWidth(letter) {
  if (/[ .,:;'`!|()[\]{}/\\ijlIfrtJ·-]/u.test(letter)) return 0.4;
  if (/[mwMW@%&QOØŒœæÆ—…+=<>~#_]/u.test(letter)) return 1;
  if (/[\p{Mn}\p{Me}\p{Cf}\p{Cc}]/u.test(letter)) return 0;
  if (/[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60]|\p{Extended_Pictographic}/u.test(letter)) return 1.02;
  return /\p{Lu}/u.test(letter) ? 0.76 : 0.62;
}
