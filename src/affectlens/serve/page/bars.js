// A picture's distribution: a button for each emotion, with its word, its percent and its bar.

import { element } from "./dom.js";
import { percent, ranked } from "./words.js";

// onChoose(word) is called for the emotion whose map is wanted.
export function emotionBars(row, model, onChoose) {
  const rows = ranked(row.emotions).map(([word, value]) => {
    const properties = {
      type: "button",
      class: "emotion-row",
      "aria-pressed": "false",
      onclick: () => onChoose(word),
    };
    const content = [
      element("span", { class: "word" }, word),
      element("span", { class: "value" }, percent(value)),
    ];
    return element(
      "li",
      { "data-emotion": word },
      element("button", properties, content, bar(word, value, model)),
    );
  });
  return element("ul", { class: "bars", "aria-label": "Emotions, the likeliest first" }, rows);
}

export function markChosen(bars, chosen) {
  for (const each of bars.children) {
    each.firstElementChild.setAttribute("aria-pressed", String(each.dataset.emotion === chosen));
  }
}

export function emotionOf(model, word) {
  return (
    model.emotions.find((each) => each.name === word) ?? { name: word, polarity: null, colour: "#888888" }
  );
}

// Negative emotions are hatched, as in the reports.
export function coloured(tag, word, model, style = {}) {
  const { polarity, colour } = emotionOf(model, word);
  return element(tag, {
    class: polarity === "negative" ? "hatched" : null,
    style: { "background-color": colour, ...style },
  });
}

export function bar(word, value, model) {
  return element(
    "span",
    { class: "track", "aria-hidden": "true" },
    coloured("i", word, model, { width: `${100 * value}%` }),
  );
}
