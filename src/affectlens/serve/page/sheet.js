// Several pictures as a contact sheet: sorted, saved as CSV, and two of them chosen to be compared.

import { element, saveText, thumbnail } from "./dom.js";
import { predictionsCsv } from "./csv.js";
import { coloured } from "./bars.js";
import { percent, plural, ranked } from "./words.js";

const ADDED = "as added";
const MARK_TWO = "Mark two to compare";

// `events`: onOpen(item), onCompare([item, item]), onClear().
export class Sheet {
  constructor(model, events) {
    this.model = model;
    this.events = events;
    this.items = [];
    this.compared = [];
    this.tiles = new Map(); // { element, found, box } by item
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
      MARK_TWO,
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

  // Tiles are made once, and only moved: pictures that were decoded stay so.
  render() {
    this.heading.textContent = plural(this.items.length, "picture");
    for (const item of this.items) {
      if (!this.tiles.has(item)) this.tiles.set(item, this.tileOf(item));
      this.tiles.get(item).found.textContent = this.caption(item.row);
    }
    this.list.append(...this.sorted().map((item) => this.tiles.get(item).element));
  }

  tileOf(item) {
    const { row, file, url, model } = item;
    const top = row.error ? null : ranked(row.emotions)[0];
    const found = element("span", { class: "found" });
    const open = element(
      "button",
      { type: "button", class: "tile", onclick: () => this.events.onOpen(item) },
      thumbnail({ src: url, alt: "", loading: "lazy", decoding: "async" }),
      top && coloured("span", top[0], model, { width: `${100 * top[1]}%` }),
      element("span", { class: "name" }, file.name),
      found,
    );
    const box = element("input", {
      type: "checkbox",
      disabled: Boolean(row.error),
      onchange: () => this.choose(item, box.checked),
      "aria-label": `Compare ${file.name}`,
    });
    const choose = element("label", { class: "choose" }, box, "compare");
    return { found, box, element: element("li", { class: row.unusual ? "unusual" : null }, open, choose) };
  }

  caption(row) {
    if (row.error) return "could not be read";
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
    for (const [each, { box }] of this.tiles) box.checked = this.compared.includes(each);
    const isPair = this.compared.length === 2;
    this.compareButton.disabled = !isPair;
    this.compareButton.textContent = isPair ? "Compare the two" : MARK_TWO;
  }

  save() {
    const rows = this.sorted().map(({ row }) => row);
    saveText("predictions.csv", "text/csv", predictionsCsv(rows, this.model));
  }
}
