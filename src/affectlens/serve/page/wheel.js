// A wheel of emotions (report/wheel.py): to choose one of them, and to show how likely each is.

import { drawing } from "./dom.js";
import { emotionOf } from "./bars.js";
import { percent, ranked } from "./words.js";

const RADIUS = 120;
const LABELS = RADIUS + 14;
const LETTER = 7.5; // width of one, on average
const RINGS = [0.1, 0.25, 0.5, 1];

// Words of a model in the order of its wheel, each with the angle of its middle in radians, counterclockwise.
export function petalsOf(model, wheels) {
  const words = wordsOf(model);
  const known = wheels.find(
    (each) => each.words.length === words.length && words.every((word) => each.words.includes(word)),
  );
  const order = known?.words ?? words;
  const each = (2 * Math.PI) / order.length;
  return order.map((word, index) => ({
    word,
    width: each,
    angle: known?.clockwise === false ? (index + 0.5) * each : Math.PI / 2 - index * each,
  }));
}

// Every petal is a button; onGuess(word) is called for the one chosen.
export function guessWheel(model, wheels, onGuess) {
  const petals = petalsOf(model, wheels).map((petal) => {
    const act = () => onGuess(petal.word);
    const onkeydown = (event) => {
      if (["Enter", " "].includes(event.key)) {
        event.preventDefault();
        act();
      }
    };
    return drawing(
      "g",
      {
        class: "petal",
        role: "button",
        tabindex: "0",
        "aria-label": petal.word,
        "data-emotion": petal.word,
        onclick: act,
        onkeydown,
      },
      drawing("path", { d: sector(petal, RADIUS), fill: emotionOf(model, petal.word).colour }),
      label(petal, [petal.word]),
    );
  });
  return wheel({ class: "wheel guess", role: "group", "aria-label": "Emotions" }, petals, wordsOf(model));
}

// The area of a petal is its probability; the guess has a thick edge.
export function answerWheel(emotions, guess, model, wheels) {
  const outer = RINGS.find((ring) => Math.max(...Object.values(emotions)) <= ring) ?? 1;
  const petals = petalsOf(model, wheels).map((petal) => {
    const value = emotions[petal.word] ?? 0;
    const radius = RADIUS * Math.sqrt(value / outer);
    return drawing(
      "g",
      { class: petal.word === guess ? "petal guessed" : "petal" },
      drawing("path", { d: sector(petal, RADIUS), class: "whole" }),
      drawing("path", { d: sector(petal, radius), fill: emotionOf(model, petal.word).colour }),
      label(petal, [petal.word, value ? percent(value) : "none"]),
    );
  });
  const text = ranked(emotions)
    .map(([word, value]) => `${word} ${percent(value)}`)
    .join(", ");
  return wheel(
    { class: "wheel", role: "img", "aria-label": `The model’s wheel: ${text}` },
    petals,
    wordsOf(model),
  );
}

const wordsOf = (model) => model.emotions.map(({ name }) => name);

// As wide as its longest word.
function wheel(properties, petals, words) {
  const half = LABELS + LETTER * Math.max(...words.map((word) => word.length));
  return drawing("svg", { viewBox: `${-half} -165 ${2 * half} 330`, ...properties }, petals);
}

function sector({ angle, width }, radius) {
  const [from, to] = [angle - width * 0.48, angle + width * 0.48].map(
    (each) => `${(radius * Math.cos(each)).toFixed(2)} ${(-radius * Math.sin(each)).toFixed(2)}`,
  );
  return `M0 0L${from}A${radius} ${radius} 0 0 0 ${to}Z`;
}

function label({ angle }, lines) {
  const [x, y] = [LABELS * Math.cos(angle), -LABELS * Math.sin(angle)];
  const anchor = Math.abs(Math.cos(angle)) < 0.2 ? "middle" : Math.cos(angle) > 0 ? "start" : "end";
  const first = y + 4 - (lines.length - 1) * 8;
  return drawing(
    "text",
    { "text-anchor": anchor },
    lines.map((line, index) => drawing("tspan", { x, y: first + 16 * index }, line)),
  );
}
