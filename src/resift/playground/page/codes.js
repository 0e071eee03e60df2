// The programs that do the same search: tabs, and a button that copies.

import { $, copy } from "./dom.js";

const WAITING = "Search first: the code then does the same search.";
let programs = {};

const tabs = () => [...document.querySelectorAll("[role=tab]")];

export function showCode(given, temporary) {
  programs = given;
  $("copy-code").disabled = false;
  $("code-note").textContent = temporary
    ? "The database is temporary and goes with the playground. Index the folder with `resift index FOLDER`, and name its database (.resift) here."
    : "";
  show(tabs().find((tab) => tab.getAttribute("aria-selected") === "true"));
}

export function prepareCode() {
  for (const tab of tabs()) {
    tab.addEventListener("click", () => show(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const all = tabs();
      const next = all[(all.indexOf(tab) + step + all.length) % all.length];
      show(next);
      next.focus();
    });
  }
  $("copy-code").addEventListener("click", () => copy($("code-text").textContent, $("copy-code")));
}

function show(chosen) {
  for (const tab of tabs()) {
    tab.setAttribute("aria-selected", String(tab === chosen));
    tab.tabIndex = tab === chosen ? 0 : -1;
  }
  $("code-text").setAttribute("aria-labelledby", chosen.id);
  $("code-text").textContent = programs[chosen.dataset.code] ?? WAITING;
}
