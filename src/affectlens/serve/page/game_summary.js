// The end of the game: where the player and the model part, and the answers as a table of labels.

import { element, note, saveText, scrolling, table, thumbnail } from "./dom.js";
import { csvText } from "./csv.js";
import { listed, percent } from "./words.js";

// rounds: those of game.js; again() begins a new game.
export function summaryOf(rounds, again) {
  const parted = rounds.filter(({ guess, top }) => guess !== top);
  const save = () => saveText("answers.csv", "text/csv", labelsCsv(rounds));
  const code = (text) => element("code", {}, text);
  return [
    oftenSentence(parted),
    parted.length > 0 && scrolling("Where you part", partedTable(parted)),
    element(
      "div",
      { class: "row" },
      element("button", { type: "button", id: "save-answers", onclick: save }, "Save your answers as CSV"),
      element("button", { type: "button", class: "main", onclick: again }, "Play again"),
    ),
    note(
      "The file lists each picture with your answer as its label. Put it next to the pictures, and ",
      code("affectlens evaluate --data csv:answers.csv"),
      " measures how often the model agrees with you; ",
      code("affectlens train"),
      " learns from it.",
    ),
  ];
}

// As `data.table` reads it.
const labelsCsv = (rounds) =>
  csvText([["path", "label"], ...rounds.map(({ card, guess }) => [card.name, guess])]);

// Which pairs of answers came more than once.
function oftenSentence(parted) {
  const counts = new Map();
  for (const { guess, top } of parted) {
    const pair = `${guess} where it predicts ${top}`;
    counts.set(pair, (counts.get(pair) ?? 0) + 1);
  }
  const often = [...counts].filter(([, count]) => count > 1).sort(([, one], [, other]) => other - one);
  const named = often.map(([pair, count]) => `${pair} (${count} times)`);
  return named.length > 0 && element("p", {}, `Most often you feel ${listed(named)}.`);
}

function partedTable(parted) {
  const rows = parted.map(({ card, guess, item, emotions, top }) => {
    const picture = thumbnail({ class: "thumb", src: item.url, alt: "" });
    return [[picture, card.name], guess, top, percent(emotions[guess])];
  });
  return table(["Picture", "you", "model", "it gives yours"], rows);
}
