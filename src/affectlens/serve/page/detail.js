// All that is known of one picture.

import { element } from "./dom.js";
import { emotionBars, markChosen } from "./bars.js";
import { affectPlane, hasPlane } from "./plane.js";
import { Stage } from "./stage.js";
import { capital, evidenceSentences, headline, interval, polaritySentence, setSentence } from "./words.js";

const MEASURED = ["brightness", "colourfulness"];

// item: { file, url, row, model, maps }; see pictures.js.
export function detailOf(item, facts) {
  const { row, file } = item;
  const heading = (...content) => element("h2", { tabindex: "-1", class: "answer" }, ...content);
  if (row.error) {
    return element("section", { class: "detail" }, element("p", { class: "file" }, file.name),
      heading("This picture could not be read"), element("p", { class: "doubt" }, row.error.message));
  }
  const stage = new Stage(item, facts);
  const choose = (word) => { markChosen(bars, word); stage.show(word); };
  const bars = emotionBars(row, item.model, choose);
  const [top] = Object.entries(row.emotions).reduce((best, each) => (each[1] > best[1] ? each : best));
  return element("section", { class: "detail", "aria-label": file.name },
    element("p", { class: "file" }, file.name),
    heading(`${headline(row.emotions)} `, element("em", {}, top)),
    row.unusual && element("p", { class: "doubt", role: "note" }, `${capital(facts.unusual)}. Its intervals and sets are wider, and may still miss more often.`),
    element("div", { class: "pair" }, stage.element, element("div", { class: "found" }, bars,
      [polaritySentence(row), setSentence(row, facts)].filter(Boolean).map((text) => element("p", { class: "note" }, text)),
      ratingsOf(item)), element("div", {}, attributesOf(row), madeBy(row))));
}

function ratingsOf({ row, model, file }) {
  const rated = model.ratings.filter(({ name }) => row[name]);
  if (!rated.length) return null;
  const rows = rated.map(({ name, low, high }) => element("tr", {}, element("th", { scope: "row" }, name),
    element("td", {}, row[name].mean.toFixed(1)), element("td", {}, interval(row[name])), element("td", {}, `${low} to ${high}`)));
  const head = ["Rating", "mean", "interval", "scale"].map((name) => element("th", { scope: "col" }, name));
  return element("div", { class: "rated" }, element("h3", {}, capital(rated.map(({ name }) => name).join(" and "))),
    element("table", {}, element("thead", {}, element("tr", {}, head)), element("tbody", {}, rows)),
    hasPlane(model) && affectPlane([{ name: file.name, row }], model),
    element("p", { class: "note" }, `What people would rate the picture on average. The interval, a line of the cross, holds people’s mean in ${Math.round(100 * (row.coverage ?? 0.9))} of a hundred pictures like those that it was measured on.`));
}

function attributesOf(row) {
  if (!row.attributes) return null;
  const measured = MEASURED.filter((name) => typeof row.attributes[name] === "number")
    .map((name) => element("li", {}, `${name} `, element("meter", { min: 0, max: 1, "aria-label": name, value: row.attributes[name] }), ` ${row.attributes[name].toFixed(2)}`));
  const sentences = evidenceSentences(row.attributes).map((text) => element("p", {}, text));
  if (!measured.length && !sentences.length) return null;
  return element("div", {}, element("h3", {}, "Attributes"), sentences, element("ul", { class: "plain attributes" }, measured));
}

const madeBy = (row) => element("p", { class: "note" }, `Model ${row.model}, ${row.engine} in ${row.precision}, AffectLens ${row.version}.`);
