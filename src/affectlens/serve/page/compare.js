// Two pictures, and whether what differs between them is more than the model's usual error.

import { answerHeading, element, note, scrolling, table, thumbnail, warning } from "./dom.js";
import { bar } from "./bars.js";
import { affectPlane, hasPlane, planeKey } from "./plane.js";
import { interval, listed, percent } from "./words.js";

const OVERLAPS =
  "Each interval holds people’s mean rating of its picture as often as its coverage states. Where two intervals " +
  "do not overlap, the difference is larger than what the model is usually off by. Where they overlap, both " +
  "pictures may be rated alike, or the other way round.";
const MORE = { valence: ["more pleasant", "less pleasant"], arousal: ["more stirring", "calmer"] };

export function comparisonOf([one, other]) {
  const names = [one.file.name, other.file.name];
  const rated = one.model.ratings.filter(({ name }) => one.row[name] && other.row[name]);
  const sentences = [
    ...rated.map(({ name }) => ratingSentence(name, one, other)),
    emotionSentence(one, other),
  ];
  const doubtful = [one, other].filter(({ row }) => row.unusual).map(({ file }) => file.name);
  const points = [one, other].map(({ file, row }) => ({ name: file.name, row }));
  return element(
    "section",
    { class: "comparison", "aria-label": "Comparison" },
    answerHeading(`${names[0]} and ${names[1]}`),
    doubtful.length > 0 &&
      warning(
        `Unlike the photographs that the model was made for: ${listed(doubtful)}. A comparison with it means little.`,
      ),
    element(
      "div",
      { class: "row" },
      [one, other].map(({ file, url }) => thumbnail({ class: "compared", src: url, alt: file.name })),
    ),
    sentences.map((text) => element("p", { class: "finding" }, text)),
    element(
      "div",
      { class: "pair even" },
      emotionTable(one, other),
      element("div", {}, hasPlane(one.model) && [affectPlane(points, one.model), planeKey(points)]),
    ),
    note(OVERLAPS),
  );
}

// "different" where the intervals do not overlap, "alike" where one mean lies within the other's interval.
export function differenceOf(one, other) {
  if (one.low > other.high || other.low > one.high) return "different";
  const within = (mean, of) => mean >= of.low && mean <= of.high;
  return within(one.mean, other) || within(other.mean, one) ? "alike" : "unclear";
}

function ratingSentence(name, one, other) {
  const [a, b] = [one.row[name], other.row[name]];
  const [greater, smaller] = MORE[name] ?? [`higher in ${name}`, `lower in ${name}`];
  const figures = `${name} ${a.mean.toFixed(1)} (${interval(a)}) and ${b.mean.toFixed(1)} (${interval(b)})`;
  const direction =
    a.mean === b.mean ? `as high in ${name} as` : `${a.mean > b.mean ? greater : smaller} than`;
  return {
    different: `${one.file.name} is ${direction} ${other.file.name}, and by more than noise: ${figures}; the intervals
      do not overlap.`,
    unclear: `${one.file.name} is probably ${direction} ${other.file.name}, but it is not certain: ${figures}; the
      intervals overlap, and neither mean lies within the other’s.`,
    alike: `No difference in ${name} beyond noise: ${figures}; the intervals overlap, and a mean lies within the
      other’s.`,
  }[differenceOf(a, b)];
}

function emotionSentence(one, other) {
  const [a, b] = [one.row, other.row];
  const moved =
    Object.keys(a.emotions).reduce((sum, word) => sum + Math.abs(a.emotions[word] - b.emotions[word]), 0) / 2;
  const distance = `Their distributions differ by ${percent(moved)} (total variation distance)`;
  if (!a.set || !b.set) return `${distance}; this model has no intervals for emotions.`;
  const common = a.set.filter((word) => b.set.includes(word));
  if (!common.length) {
    const sets = `${listed(a.set, "or")}, against ${listed(b.set, "or")}`;
    return `${distance}, and their sets of emotions have none in common: ${sets}. That is more than noise.`;
  }
  return `${distance}. Both may evoke ${listed(common, "or")}, so that a difference in their emotion is not certain.`;
}

function emotionTable(one, other) {
  const strongest = (word) => Math.max(one.row.emotions[word], other.row.emotions[word]);
  const words = Object.keys(one.row.emotions).sort((a, b) => strongest(b) - strongest(a));
  const cell = ({ row, model }, word) => [percent(row.emotions[word]), bar(word, row.emotions[word], model)];
  const rows = words.map((word) => [word, cell(one, word), cell(other, word)]);
  const names = ["Emotion", one.file.name, other.file.name];
  return scrolling("Emotions of both pictures", table(names, rows, { class: "two" }));
}
