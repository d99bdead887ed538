// All that is known of one picture.

import { answerHeading, element, note, table, warning } from "./dom.js";
import { emotionBars, markChosen } from "./bars.js";
import { affectPlane, hasPlane } from "./plane.js";
import { Stage } from "./stage.js";
import { capital, evidenceSentences, headline, interval, polaritySentence, setSentence } from "./words.js";

const MEASURED = ["brightness", "colourfulness"];

// item: { file, url, row, model, maps }; see pictures.js.
export function detailOf(item, facts, signal) {
  const { row, file } = item;
  if (row.error) {
    return element(
      "section",
      { class: "detail" },
      element("p", { class: "file" }, file.name),
      answerHeading("This picture could not be read"),
      element("p", { class: "doubt" }, row.error.message),
    );
  }
  const stage = new Stage(item, facts, signal);
  const choose = (word) => {
    markChosen(bars, word);
    stage.show(word);
  };
  const bars = emotionBars(row, item.model, choose);
  const [top] = Object.entries(row.emotions).reduce((best, each) => (each[1] > best[1] ? each : best));
  return element(
    "section",
    { class: "detail", "aria-label": file.name },
    element("p", { class: "file" }, file.name),
    answerHeading(`${headline(row.emotions)} `, element("em", {}, top)),
    row.unusual &&
      warning(`${facts.unusual}. Its intervals and sets are wider, and may still miss more often.`),
    element(
      "div",
      { class: "pair" },
      stage.element,
      element(
        "div",
        { class: "found" },
        bars,
        [polaritySentence(row), setSentence(row, facts)].filter(Boolean).map((text) => note(text)),
        ratingsOf(item, facts),
      ),
      element("div", {}, attributesOf(row), madeBy(row)),
    ),
  );
}

function ratingsOf({ row, model, file }, facts) {
  const rated = model.ratings.filter(({ name }) => row[name]);
  if (!rated.length) return null;
  const rows = rated.map(({ name, low, high }) => [
    name,
    row[name].mean.toFixed(1),
    interval(row[name]),
    `${low} to ${high}`,
  ]);
  const hundredths = Math.round(100 * (row.coverage ?? facts.coverage));
  return element(
    "div",
    { class: "rated" },
    element("h3", {}, capital(rated.map(({ name }) => name).join(" and "))),
    table(["Rating", "mean", "interval", "scale"], rows),
    hasPlane(model) && affectPlane([{ name: file.name, row }], model),
    note(`What people would rate the picture on average. The interval, a line of the cross, holds people’s mean in
      ${hundredths} of a hundred pictures like those that it was measured on.`),
  );
}

function attributesOf(row) {
  if (!row.attributes) return null;
  const measured = MEASURED.filter((name) => typeof row.attributes[name] === "number").map((name) =>
    measurement(name, row.attributes[name]),
  );
  const sentences = evidenceSentences(row.attributes).map((text) => element("p", {}, text));
  if (!measured.length && !sentences.length) return null;
  return element(
    "div",
    {},
    element("h3", {}, "Attributes"),
    sentences,
    element("ul", { class: "plain attributes" }, measured),
  );
}

function measurement(name, value) {
  const meter = element("meter", { min: 0, max: 1, "aria-label": name, value });
  return element("li", {}, `${name} `, meter, ` ${value.toFixed(2)}`);
}

const madeBy = (row) =>
  note(`Model ${row.model}, ${row.engine} in ${row.precision}, AffectLens ${row.version}.`);
