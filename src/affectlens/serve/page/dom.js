// Elements made in one expression. Text is always text, never markup; styles are set one by one, as the
// policy of the page allows no style attributes.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

export function drawing(name, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

// Exchange what an element holds; lists are taken as their members, and what is empty is left out.
export function replace(parent, ...children) {
  parent.replaceChildren();
  return fill(parent, {}, children);
}

export const note = (...content) => element("p", { class: "note" }, ...content);

export const warning = (text) => element("p", { class: "doubt", role: "note" }, text);

// The heading of an answer; it gets the focus, so that keys and screen readers go on there.
export const answerHeading = (...content) => element("h2", { tabindex: "-1", class: "answer" }, ...content);

// rows: lists of elements and texts; the first cell of each is its header.
export function table(names, rows, properties = {}) {
  const head = names.map((name) => element("th", { scope: "col" }, name));
  const body = rows.map(([first, ...cells]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, first),
      cells.map((cell) => element("td", {}, cell)),
    ),
  );
  return element(
    "table",
    properties,
    element("thead", {}, element("tr", {}, head)),
    element("tbody", {}, body),
  );
}

// What may be wider than a telephone, and is reached by keys.
export function scrolling(label, content) {
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, content);
}

// A button that opens files, as fields of files would state "no file chosen" next to what was just taken.
export function fileButton(text, { id, onFiles, ...properties }) {
  const input = element("input", {
    type: "file",
    id,
    class: "unseen",
    ...properties,
    onchange: () => takeChosen(input, onFiles),
  });
  return element("label", { class: "button", for: id }, text, input);
}

// Of a field that then has none chosen, so that the same file can be chosen again.
export function takeChosen(input, onFiles) {
  const files = [...input.files];
  input.value = "";
  onFiles(files);
}

// A small picture next to its name; nothing where the browser cannot show it.
export function thumbnail(properties) {
  return element("img", { ...properties, onerror: (event) => event.currentTarget.classList.add("unshown") });
}

export const byId = (id) => document.getElementById(id);

// Reported by screen readers; the same text twice is reported twice.
export function announce(text) {
  const live = byId("live");
  live.textContent = "";
  setTimeout(() => {
    live.textContent = text;
  }, 50);
}

export function showProblem(error) {
  const problem = byId("problem");
  problem.textContent = error ? error.message : "";
  problem.hidden = !error;
  if (error) problem.scrollIntoView({ block: "nearest" });
}

export function saveText(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function fill(made, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "style")
      Object.entries(value).forEach(([key, each]) => made.style.setProperty(key, each));
    else if (name === "value" || name === "checked") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return made;
}
