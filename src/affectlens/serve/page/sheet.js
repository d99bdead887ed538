// Several pictures as a contact sheet: sorted, saved as CSV, and two of them chosen to be compared.

import { element, saveText } from "./dom.js";
import { predictionsCsv } from "./csv.js";
import { coloured } from "./bars.js";
import { percent, plural, ranked } from "./words.js";

const ADDED = "as added";

// `events`: onOpen(item), onCompare([item, item]), onClear().
export class Sheet {
  constructor(model, events) {
    this.model = model;
    this.events = events;
    this.items = [];
    this.compared = [];
    this.boxes = new Map();
    this.heading = element("h2", {});
    this.order = element(
      "select",
      { id: "order", onchange: () => this.render() },
      [ADDED, ...model.emotions.map(({ name }) => name), ...model.ratings.map(({ name }) => name)].map(
        (name) => element("option", {}, name),
      ),
    );
    this.compareButton = element(
      "button",
      { type: "button", disabled: true, onclick: () => events.onCompare(this.compared) },
      "Compare the two",
    );
    this.list = element("ul", { class: "sheet" });
    this.element = element(
      "section",
      { "aria-label": "Contact sheet" },
      this.heading,
      element(
        "div",
        { class: "row" },
        element("label", { for: "order" }, "Sort by "),
        this.order,
        this.compareButton,
        element("button", { type: "button", id: "save", onclick: () => this.save() }, "Save as CSV"),
        element("button", { type: "button", onclick: () => events.onClear() }, "Remove all"),
      ),
      this.list,
    );
  }

  set(items) {
    this.items = items;
    this.render();
  }

  // The pictures in the order chosen: the strongest first, those that could not be read last.
  sorted() {
    const key = this.order.value;
    if (key === ADDED) return this.items;
    const value = ({ row }) => row.emotions?.[key] ?? row[key]?.mean ?? -Infinity;
    return [...this.items].sort((one, other) => value(other) - value(one));
  }

  render() {
    this.heading.textContent = plural(this.items.length, "picture");
    this.list.replaceChildren(...this.sorted().map((item) => this.tile(item)));
    this.compareButton.disabled = this.compared.length !== 2;
  }

  tile(item) {
    const { row, file, url, model } = item;
    const label = row.error ? "could not be read" : this.caption(row);
    const top = row.error ? null : ranked(row.emotions)[0];
    const open = element(
      "button",
      { type: "button", class: "tile", onclick: () => this.events.onOpen(item) },
      element("img", { src: url, alt: "", loading: "lazy" }),
      top && coloured("span", top[0], model, { width: `${100 * top[1]}%` }),
      element("span", { class: "name" }, file.name),
      element("span", { class: "found" }, label),
    );
    const box = element("input", {
      type: "checkbox",
      checked: this.compared.includes(item),
      disabled: Boolean(row.error),
      onchange: () => this.choose(item, box.checked),
      "aria-label": `Compare ${file.name}`,
    });
    this.boxes.set(item, box);
    return element(
      "li",
      { class: row.unusual ? "unusual" : null },
      open,
      element("label", { class: "choose" }, box, "compare"),
    );
  }

  caption(row) {
    const key = this.order.value;
    const [word, value] = ranked(row.emotions)[0];
    const shown =
      row.emotions[key] === undefined || key === word ? "" : `, ${key} ${percent(row.emotions[key])}`;
    const rated = row[key]?.mean === undefined ? "" : `, ${key} ${row[key].mean.toFixed(1)}`;
    return `${word} ${percent(value)}${shown}${rated}${row.unusual ? ", unusual" : ""}`;
  }

  // The two chosen last: a third takes the turn of the first.
  choose(item, isChosen) {
    const others = this.compared.filter((each) => each !== item);
    this.compared = (isChosen ? [...others, item] : others).slice(-2);
    for (const [each, box] of this.boxes) box.checked = this.compared.includes(each);
    this.compareButton.disabled = this.compared.length !== 2;
  }

  save() {
    saveText(
      "predictions.csv",
      "text/csv",
      predictionsCsv(
        this.sorted().map(({ row }) => row),
        this.model,
      ),
    );
  }
}
