// The page: a question and its settings become a search, and what is clicked or typed becomes highlights and marks.

import * as api from "./api.js";
import { prepareCode, showCode } from "./codes.js";
import { $, count, duration, el, say } from "./dom.js";
import { drawJudged } from "./judged.js";
import { drawLines, find, light } from "./lines.js";
import { drawResults, showMarks } from "./results.js";
import { drawWhy } from "./why.js";

const LONG = {
  "": "default",
  max_window: "best window",
  first_window: "beginning",
  truncate: "cut, with a note",
};
const STAGES = { hybrid: "hybrid", vectors: "vectors alone" };
const SETTINGS = ["model", "first_stage", "candidates", "top_k", "min_relevance", "fuse", "long_documents"];
const WAIT = 250; // milliseconds after a setting has changed

let opened = null; // what /api/state says
let shown = null; // the request whose results are shown, and what was found
let lit = null; // the id of the passage that is highlighted
let running = false; // whether a search is under way
let next = null; // the search after it: what was asked last, and whether scores may be reused
let timer = null;

function request() {
  const value = (name) => $(name).value;
  return {
    query: value("question").trim(),
    model: value("model"),
    first_stage: value("first_stage"),
    candidates: whole("candidates"),
    top_k: whole("top_k"),
    min_relevance: $("min_relevance").disabled || Number(value("min_relevance")) === 0 ? null : Number(value("min_relevance")),
    long_documents: value("long_documents") || null,
    fuse: Number(value("fuse")),
  };
}

function whole(name) {
  const field = $(name);
  const given = Math.round(Number(field.value)) || Number(field.defaultValue);
  return Math.min(Number(field.max), Math.max(Number(field.min), given));
}

/** Show the numbers that are searched with, where others were typed. */
function tidy() {
  for (const name of ["candidates", "top_k"]) if ($(name).value !== String(whole(name))) $(name).value = whole(name);
}

/** Search; of those that are asked for while one is under way, only the last is done. */
async function search(reuse = false) {
  clearTimeout(timer);
  const asked = request();
  if (!asked.query) return;
  next = { asked, reuse: reuse && (next === null || next.reuse) };
  if (running) return;
  running = true;
  document.body.setAttribute("aria-busy", "true");
  say("Searching…");
  try {
    while (next) {
      const mine = next;
      next = null;
      await searchFor(mine.asked, mine.reuse);
    }
  } finally {
    running = false;
    document.body.removeAttribute("aria-busy");
  }
}

async function searchFor(asked, reuse) {
  try {
    const found = await api.search(asked, reuse);
    if (next) return;
    shown = { asked, found };
    lit = null;
    drawResults(found, about(asked), { open, show, mark, moved: draw });
    $("rest").open = false;
    remember(asked);
    drawNotices(found);
    say(summary(found));
    const best = found.hits.find((hit) => hit.kept);
    if (best) open(best.id, { quietly: true });
    draw();
    showCode(await api.code(asked), opened.temporary);
  } catch (error) {
    say(error.message, true);
  }
}

function about(asked) {
  return asked.first_stage === "hybrid" ? `${opened.bi_encoder} and BM25, fused by rank` : `${opened.bi_encoder} · similarity`;
}

function summary(found) {
  const [first, second] = found.stages;
  const kept = found.hits.filter((hit) => hit.kept).length;
  return `${count(found.hits.length, "candidate")} in ${duration(first.seconds)}, reranked by ${found.model} in ${duration(second.seconds)}; ${kept} kept.`;
}

function drawNotices(found) {
  const notices = [];
  if (found.degraded) notices.push(`This order is not, or not all, the model's: ${found.degraded}`);
  if (found.truncated) {
    notices.push(`${found.truncated} of ${count(found.hits.length, "passage")} were not read to their end. “Long documents: best window” reads all of them.`);
  }
  $("notices").replaceChildren(...notices.map((text) => el("p", { class: "notice", role: "note" }, text)));
}

function draw() {
  if (shown) drawLines(shown.found.hits, lit);
}

function highlight(id) {
  if (lit === id) return;
  lit = id;
  light(id);
  draw();
}

/** Go to a passage's reranked row from the first stage's. */
function show(id) {
  const row = find("final", id) || find("others", id);
  if (find("others", id)) $("rest").open = true;
  open(id, { stay: true });
  row.querySelector(".open").focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

/** Open or close a passage's explanation. */
async function open(id, { stay = false, quietly = false, confirmed = false } = {}) {
  const row = find("final", id) || find("others", id);
  const [button, panel] = [row.querySelector(".open"), row.querySelector(".why")];
  const wasOpen = button.getAttribute("aria-expanded") === "true";
  highlight(id);
  if (wasOpen && !confirmed) {
    if (!stay) setOpen(row, false);
    draw();
    return;
  }
  setOpen(row, true);
  draw();
  if (panel.childElementCount && !confirmed) return;
  panel.replaceChildren(el("p", { class: "small muted" }, "Explaining…"));
  const { asked } = shown;
  try {
    const answer = await api.explain(asked, id, confirmed);
    if (asked !== shown.asked) return;
    panel.replaceChildren(answer.plan ? drawPlan(answer.plan, id) : drawWhy(answer));
    row.classList.toggle("explained", !answer.plan);
    if (!quietly) say(answer.plan ? "Explaining takes some work: see the passage." : `Explained: ${row.querySelector(".source").textContent}`);
  } catch (error) {
    panel.replaceChildren(el("p", { class: "notice" }, error.message));
  }
  draw();
}

function setOpen(row, value) {
  row.querySelector(".open").setAttribute("aria-expanded", String(value));
  row.querySelector(".why").hidden = !value;
  row.classList.toggle("opened", value);
}

function drawPlan(plan, id) {
  return el(
    "p",
    { class: "plan" },
    `${plan.model} shows no parts of its score. To explain it, it is asked to score up to ${count(plan.texts, "text")} with ${plan.unit} left out; a service may charge for them. `,
    el("button", { type: "button", onclick: () => open(id, { confirmed: true }) }, "Explain"),
  );
}

async function mark(id, given) {
  if (!shown) return;
  const { asked, found } = shown;
  const hit = found.hits.find((each) => each.id === id);
  const wanted = given === null || hit.mark === given ? null : given;
  try {
    const answer = await api.mark(asked, id, wanted);
    drawJudged(answer.judgements, again);
    for (const each of found.hits) if (Object.hasOwn(answer.marks, each.id)) each.mark = answer.marks[each.id];
    if (shown.found === found) showMarks(answer.marks);
    say(wanted === null ? `Mark taken back: ${hit.source}` : `Marked ${wanted}: ${hit.source}`);
  } catch (error) {
    say(error.message, true);
  }
}

function again(query) {
  $("question").value = query;
  window.scrollTo({ top: 0 });
  $("question").focus({ preventScroll: true });
  search();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    $("question").focus();
    $("question").select();
    return;
  }
  const row = event.target.closest("#stages [data-id], #stages .gap");
  if (!row || typing) return;
  const list = row.parentElement;
  const id = row.dataset.id;
  const keys = {
    ArrowDown: () => step(row, 1),
    ArrowUp: () => step(row, -1),
    j: () => step(row, 1),
    k: () => step(row, -1),
    ArrowLeft: () => cross(id, ["first"]),
    ArrowRight: () => cross(id, ["final", "others"]),
    r: () => mark(id, "right"),
    w: () => mark(id, "wrong"),
    u: () => mark(id, null),
  };
  const scrolls = event.target.closest(".scroll, pre"); // their arrows move what is in them
  if (!list || !Object.hasOwn(keys, event.key) || (scrolls && event.key.startsWith("Arrow"))) return;
  if (id === undefined && !["ArrowDown", "ArrowUp", "j", "k"].includes(event.key)) return;
  event.preventDefault();
  keys[event.key]();
}

function step(row, by) {
  const column = row.closest(".stage");
  const rows = [...column.querySelectorAll("li > button, li > .head > .open")].filter((button) => button.offsetParent);
  const at = rows.findIndex((button) => row.contains(button));
  rows[Math.min(rows.length - 1, Math.max(0, at + by))]?.focus();
}

function cross(id, lists) {
  const row = lists.map((list) => find(list, id)).find(Boolean);
  if (!row) return;
  if (row.closest("#others")) $("rest").open = true;
  row.querySelector(".open").focus();
}

function remember(asked) {
  const kept = new URLSearchParams({ q: asked.query });
  for (const name of SETTINGS) if (asked[name]) kept.set(name, asked[name]);
  history.replaceState(null, "", `#${kept}`);
}

function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const name of SETTINGS) {
    const field = $(name);
    const given = kept.get(name);
    if (given !== null && (field.tagName !== "SELECT" || [...field.options].some((option) => option.value === given))) field.value = given;
  }
  if (kept.has("q")) $("question").value = kept.get("q");
  return kept.has("q");
}

function showSettings() {
  const fused = Number($("fuse").value) > 0;
  $("min_relevance").disabled = fused; // a fused order has no relevance to compare
  $("min_relevance-hint").textContent = fused ? "not with fusion" : "relevance, at least";
  $("min_relevance-value").textContent = !fused && Number($("min_relevance").value) ? $("min_relevance").value : "off";
  $("fuse-value").textContent = fused ? $("fuse").value : "off";
}

async function start() {
  prepareCode();
  try {
    opened = await api.state();
  } catch (error) {
    say(error.message, true);
    return;
  }
  $("about").textContent = `${opened.collection} · ${count(opened.passages, "passage")} · ${opened.bi_encoder}`;
  $("version").textContent = `resift ${opened.version}`;
  document.title = `${opened.collection} · resift playground`;
  $("model").append(...opened.models.map((name) => el("option", { value: name }, name)));
  $("first_stage").append(...opened.first_stages.map((name) => el("option", { value: name }, STAGES[name] ?? name)));
  $("long_documents").append(...["", ...opened.long_documents].map((name) => el("option", { value: name }, LONG[name] ?? name)));
  drawJudged(opened.judgements, again);
  if (window.innerWidth < 640) $("settings").open = false;
  const asked = recall();
  tidy();
  showSettings();
  $("ask").addEventListener("submit", (event) => { event.preventDefault(); search(); });
  $("search").disabled = false; // until now a question would have been sent as a form, to nobody
  $("settings").addEventListener("input", () => { showSettings(); clearTimeout(timer); if (shown) timer = setTimeout(() => search(true), WAIT); });
  $("settings").addEventListener("change", tidy);
  document.addEventListener("keydown", onKey);
  for (const kind of ["focusin", "mouseover"]) {
    $("stages").addEventListener(kind, (event) => { const row = event.target.closest("[data-id]"); if (row) highlight(row.dataset.id); });
  }
  $("rest").addEventListener("toggle", draw);
  new ResizeObserver(draw).observe($("stages"));
  if (asked) search();
}

start();
