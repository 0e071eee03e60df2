// What is marked: how much, where it is kept, and what to do with it.

import { $, copy, count, el } from "./dom.js";

/** Draw the panel. `again(query)` searches a judged question. */
export function drawJudged(judged, again) {
  const marks = judged.right + judged.wrong;
  $("judged-count").textContent = String(marks);
  const questions = judged.questions.map((question) => el(
    "li",
    {},
    el("button", { type: "button", class: "question", dir: "auto", onclick: () => again(question.query) }, question.query),
    el("span", { class: "badge good" }, `${question.right} right`),
    el("span", { class: "badge bad" }, `${question.wrong} wrong`),
  ));
  const kept = el("p", {}, el("span", { class: "muted" }, "Kept in "), el("code", {}, judged.folder));
  if (!marks) {
    $("judged-panel").replaceChildren(
      el("p", {}, "Nothing is marked yet. Mark passages of a search as right or wrong: they become a judged collection, on disk at once, that ",
        el("code", {}, "resift eval"), " measures on and ", el("code", {}, "resift train"), " learns from."),
      kept,
    );
    return;
  }
  $("judged-panel").replaceChildren(
    el("p", {}, el("b", {}, `${count(marks, "passage")} of ${count(judged.questions.length, "question")}`), `: ${judged.right} right, ${judged.wrong} wrong.`),
    kept,
    el("ul", { class: "questions" }, ...questions),
    el(
      "div",
      { class: "export" },
      el("a", { class: "button primary", href: "/api/export.zip", download: "resift-judgements.zip", id: "export" }, "Export as zip"),
      el("span", { class: "small muted" }, "corpus, queries, qrels, candidates and training pairs"),
    ),
    judged.right
      ? el("div", {}, command("Measure on them", judged.commands.eval), command("Train on them", judged.commands.train))
      : el("p", { class: "small muted" }, "Mark at least one passage as right: without one there is nothing to measure or to learn."),
  );
}

function command(title, line) {
  const button = el("button", { type: "button", class: "small", onclick: () => copy(line, button) }, "Copy");
  return el("div", { class: "command" }, el("span", { class: "small muted" }, title), el("pre", { tabindex: 0 }, line), button);
}
