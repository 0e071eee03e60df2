// Elements are made here and nowhere else. Text is always put in as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

/** Make an element: el("p", {class: "muted", onclick: f}, "text", child). */
export function el(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** The same for SVG. */
export function svg(name, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

function fill(element, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [rule, given] of Object.entries(value)) element.style.setProperty(rule, given);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** A number with three significant digits or so, as in tables. */
export function number(value, digits = 2) {
  return value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−");
}

export function duration(seconds) {
  if (seconds < 0.0995) return `${(1000 * seconds).toPrecision(2)} ms`;
  return seconds < 0.9995 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`;
}

export const count = (many, one, several = `${one}s`) => `${many.toLocaleString("en")} ${many === 1 ? one : several}`;

export function movement(moved) {
  if (moved > 0) return { text: `↑${moved}`, kind: "up", words: `rose by ${moved}` };
  if (moved < 0) return { text: `↓${-moved}`, kind: "down", words: `fell by ${-moved}` };
  return { text: "=", kind: "still", words: "kept its rank" };
}

/** Say something to who hears the page, and show it. */
export function say(text, bad = false) {
  const status = $("status");
  status.textContent = text;
  status.classList.toggle("bad-news", bad);
}

export async function copy(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Can't copy: select it";
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}
