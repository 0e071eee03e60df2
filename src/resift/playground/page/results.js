// Both stages side by side.

import { $, count, duration, el, movement, number, svg } from "./dom.js";

const SIGNS = { right: "M2.5 8.5l3.7 3.7L13.5 4", wrong: "M3.5 3.5l9 9M12.5 3.5l-9 9" };
const AROUND = 1; // first-stage rows shown beside a kept one, so that its neighbours are seen

/** Draw a search. `actions`: open(id), mark(id, given). */
export function drawResults(found, firstStage, actions) {
  const kept = found.hits.filter((hit) => hit.kept);
  const others = found.hits.filter((hit) => !hit.kept);
  $("welcome").hidden = true;
  $("results").hidden = false;
  $("final-about").textContent = `${found.model} · ${found.scale} score${found.hits.some((hit) => hit.relevance !== null) ? ", and relevance 0 to 1" : ""}`;
  $("first-about").textContent = firstStage;
  $("final").replaceChildren(...kept.map((hit) => drawHit(hit, found, actions)));
  if (!kept.length) $("final").append(el("li", { class: "nothing" }, nothing(found)));
  $("rest").hidden = !others.length;
  $("rest").querySelector("summary").textContent = `${count(others.length, "more candidate")}, not kept`;
  $("others").replaceChildren(...others.map((hit) => drawHit(hit, found, actions)));
  drawFirst(found, actions);
  drawTiming(found);
}

function nothing(found) {
  const best = Math.max(...found.hits.map((hit) => hit.relevance ?? -1));
  if (!found.hits.length) return "The first stage found nothing.";
  return `No passage is relevant enough: the best has ${number(best)}. That may be the right answer.`;
}

function drawHit(hit, found, actions) {
  const moved = movement(hit.moved);
  const why = `why-${hit.rank}`;
  return el(
    "li",
    { class: "card hit", "data-id": hit.id, "data-mark": hit.mark ?? "" },
    el(
      "div",
      { class: "head" },
      el("span", { class: "rank anchor" }, String(hit.rank)),
      el(
        "button",
        { type: "button", class: "open", "aria-expanded": "false", "aria-controls": why, onclick: () => actions.open(hit.id) },
        el(
          "span",
          { class: "where" },
          el("span", { class: "source", dir: "auto" }, hit.source),
          hit.place ? el("span", { class: "place", dir: "auto" }, hit.place) : "",
        ),
        el("span", { class: "visually-hidden" }, `, ${moved.words}, `),
        el("span", { class: "ask-why" }, "why?"),
      ),
      el("span", { class: `badge ${moved.kind}`, title: `first stage: rank ${hit.was}` }, moved.text),
    ),
    el("p", { class: "passage excerpt", dir: "auto", onclick: () => actions.open(hit.id) }, excerpt(hit.body)),
    el("div", { class: "why", id: why, hidden: true }),
    el(
      "div",
      { class: "foot" },
      drawNumbers(hit, found),
      el("div", { class: "marks", role: "group", "aria-label": "Is this passage right?" }, ...["right", "wrong"].map((given) => drawMark(hit, given, actions))),
    ),
  );
}

function drawNumbers(hit, found) {
  const figure = (name, ...shown) => el("div", {}, el("dt", {}, name), el("dd", {}, ...shown));
  const bar = (share) => el("span", { class: "bar", "aria-hidden": "true" }, el("span", { style: { width: `${100 * share}%` } }));
  return el(
    "dl",
    { class: "numbers" },
    hit.fused === null ? "" : figure("fused", number(hit.fused, 4)),
    figure(found.scale === "logit" ? "score" : `score (${found.scale})`, number(hit.score)),
    hit.relevance === null ? "" : figure("relevance", bar(hit.relevance), ` ${number(hit.relevance)}`),
    hit.similarity === null ? "" : figure("similarity", number(hit.similarity)),
    hit.truncated ? figure("read", el("span", { class: "badge warn" }, "not to its end")) : "",
  );
}

function drawMark(hit, given, actions) {
  const name = given === "right" ? "Right" : "Wrong";
  return el(
    "button",
    { type: "button", class: `mark ${given}`, "data-given": given, "aria-pressed": String(hit.mark === given), onclick: () => actions.mark(hit.id, given) },
    // Drawn, since not every system has a picture letter for it.
    svg("svg", { class: "sign", viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" }, svg("path", { d: SIGNS[given] })),
    name,
    el("span", { class: "visually-hidden" }, `: ${hit.source}, rank ${hit.rank}`),
  );
}

function drawFirst(found, actions) {
  const order = [...found.hits].sort((one, other) => one.was - other.was);
  const shown = new Set();
  const few = Math.max(3, found.hits.filter((hit) => hit.kept).length);
  order.forEach((hit, place) => {
    if (place < few) shown.add(place);
    if (hit.kept) for (let near = place - AROUND; near <= place + AROUND; near += 1) shown.add(near);
  });
  const rows = [];
  for (let place = 0; place < order.length; place += 1) {
    if (shown.has(place)) {
      rows.push(drawCandidate(order[place], actions));
      continue;
    }
    let end = place;
    while (end < order.length && !shown.has(end)) end += 1;
    rows.push(drawGap(order.slice(place, end), actions));
    place = end - 1;
  }
  $("first").replaceChildren(...rows);
}

function drawGap(hidden, actions) {
  const open = () => {
    const rows = hidden.map((hit) => drawCandidate(hit, actions));
    row.replaceWith(...rows);
    rows[0].querySelector("button").focus();
    actions.moved();
  };
  const row = el("li", { class: "gap" }, el("button", { type: "button", onclick: open }, `⋮ ${hidden.length} more`));
  return row;
}

function drawCandidate(hit, actions) {
  const moved = movement(hit.moved);
  return el(
    "li",
    { class: hit.kept ? "candidate kept" : "candidate", "data-id": hit.id, "data-mark": hit.mark ?? "" },
    el(
      "button",
      { type: "button", class: "open", onclick: () => actions.show(hit.id) },
      el("span", { class: "rank" }, String(hit.was)),
      el("span", { class: "about" }, el("span", { class: "source", dir: "auto" }, hit.place || hit.source), el("span", { class: "excerpt", dir: "auto" }, excerpt(hit.body))),
      el("span", { class: "similarity" }, ...halves(hit)),
      el("span", { class: `badge anchor ${hit.kept ? moved.kind : "out"}` }, `→ ${hit.rank}`),
      el("span", { class: "visually-hidden" }, hit.kept ? `, now rank ${hit.rank}` : `, now rank ${hit.rank}, not kept`),
    ),
  );
}

/** The ranks in both halves of a hybrid first stage; else the similarity. */
function halves(hit) {
  const names = { dense: "vectors", lexical: "words" };
  const found = Object.entries(names).map(([half, name]) => el("span", { class: "half" }, `${name} ${hit.found[half] ?? "–"}`));
  return Object.keys(hit.found).length ? found : [number(hit.similarity)];
}

/** Show marks on what is drawn. */
export function showMarks(marks) {
  for (const row of document.querySelectorAll("#stages [data-id]")) {
    if (!Object.hasOwn(marks, row.dataset.id)) continue;
    const mark = marks[row.dataset.id];
    row.dataset.mark = mark ?? "";
    for (const button of row.querySelectorAll(".mark")) button.setAttribute("aria-pressed", String(button.dataset.given === mark));
  }
}

function drawTiming(found) {
  const total = found.stages.reduce((sum, stage) => sum + stage.seconds, 0) || 1;
  const parts = found.stages.map((stage, place) => el("span", { class: `part part-${place}`, style: { "flex-grow": Math.max(0.012, stage.seconds / total) } }));
  const names = found.stages.map((stage, place) => el(
    "li",
    {},
    el("span", { class: `dot part-${place}`, "aria-hidden": "true" }), `${stage.name} `, el("b", {}, duration(stage.seconds)),
    stage.details.length ? el("span", { class: "muted" }, ` (${stage.details.map((part) => `${part.name.replaceAll("_", " ")} ${duration(part.seconds)}`).join(", ")})`) : "",
  ));
  const pairs = el("li", { class: "muted" }, `${count(found.pairs, "pair")} scored`);
  $("timing").replaceChildren(el("div", { class: "track", "aria-hidden": "true" }, ...parts), el("ul", {}, ...names, pairs));
}

const LONGEST = 420;

function excerpt(text) {
  const line = text.replace(/\s+/gu, " ").trim();
  return line.length <= LONGEST ? line : `${line.slice(0, LONGEST)}…`;
}
