// Guess first: a picture, one's own answer on the wheel, then the model's with its heat map, and people's
// where they are known. Pictures of one's own are taken, or those that the service was started with.

import { announce, byId, element, replace, saveText, showProblem } from "./dom.js";
import { csvText } from "./csv.js";
import { predictedItems } from "./pictures.js";
import { open } from "./service.js";
import { Stage } from "./stage.js";
import { answerWheel, guessWheel } from "./wheel.js";
import { headline, interval, listed, percent, plural, ranked } from "./words.js";

export class GameView {
  constructor(context) {
    this.context = context; // { facts, limits, model() }
    this.table = element("div", { class: "game" });
    const files = element("input", { type: "file", id: "game-files", accept: "image/*", multiple: true, onchange: () => this.playFiles(files.files) });
    const offered = context.facts.game > 0 && element("button", { type: "button", class: "main", id: "play", onclick: () => this.playOffered() },
      `Play with the ${plural(context.facts.game, "picture")} of this service`);
    this.setup = element("div", { class: "drop" }, element("p", { class: "invitation" }, "Guess first, then see what the model predicts"),
      element("div", { class: "row" }, offered, element("label", { for: "game-files" }, offered ? "or choose your own" : "Choose pictures"), files),
      element("p", { class: "note" }, "There are no wrong answers: the model predicts what people feel on average, and you are one of them."));
    byId("game").append(this.setup, this.table);
  }

  playFiles(files) {
    return this.play([...files].map((file) => ({ name: file.name, load: async () => file, people: null, ratings: {} })));
  }

  async playOffered() {
    try {
      const { pictures } = await (await open("game")).json();
      await this.play(pictures.map(({ url, ...card }) => ({ ...card, load: () => fileOf(url, card.name) })));
    } catch (error) {
      showProblem(error);
    }
  }

  // cards: [{ name, people: emotions or null, ratings: by name, load(): a promise of the file }]
  async play(cards) {
    if (!cards.length) return;
    showProblem(null);
    this.setup.hidden = true;
    this.cards = shuffled(cards);
    this.rounds = [];
    await this.next();
  }

  async next() {
    const card = this.cards[this.rounds.length];
    if (!card) { this.sumUp(); return; }
    const model = this.context.model();
    try {
      const file = await card.load();
      // Predicted while the player is still thinking.
      const item = firstItem(file, model, this.context);
      item.catch(() => {});
      this.pose({ card, file, model, item });
    } catch (error) {
      this.setup.hidden = false;
      showProblem(error);
    }
  }

  pose({ card, file, model, item }) {
    const url = URL.createObjectURL(file);
    const heading = element("h2", { tabindex: "-1", class: "answer" }, "What does this make you feel?");
    replace(this.table, element("p", { class: "file" }, `Picture ${this.rounds.length + 1} of ${this.cards.length}${this.score()}`), heading,
      element("div", { class: "pair even" }, element("div", { class: "stage" }, element("img", { src: url, alt: "The picture to guess" })),
        element("div", {}, guessWheel(model, this.context.facts.wheels, (guess) => this.reveal({ card, model, item, guess })),
          element("p", { class: "note" }, "Choose the emotion that comes nearest."))));
    heading.focus();
  }

  async reveal({ card, model, item, guess }) {
    if (this.isRevealing) return;
    this.isRevealing = true;
    try {
      const found = await item;
      if (found.row.error) throw new Error(`${card.name} could not be read, and is passed over: ${found.row.error.message}`);
      this.rounds.push({ card, guess, item: found, top: ranked(found.row.emotions)[0][0] });
      this.showAnswer(this.rounds.at(-1), model);
    } catch (error) {
      showProblem(error);
      this.cards = this.cards.filter((each) => each !== card);
      await this.next();
    } finally {
      this.isRevealing = false;
    }
  }

  showAnswer({ card, guess, item, top }, model) {
    const { row } = item;
    const agreed = guess === top;
    const heading = element("h2", { tabindex: "-1", class: "answer" }, agreed ? "You and the model agree: " : `You feel ${guess}, the model predicts `, element("em", {}, top));
    const sentences = [`${headline(row.emotions)} ${top}, ${percent(row.emotions[top])}; the model gives your ${guess} ${percent(row.emotions[guess])}.`,
      row.set && !agreed && (row.set.includes(guess) ? "Your answer is in the model’s set of emotions: it did not rule it out." : "Your answer is not in the model’s set of emotions."),
      card.people && `People: ${ranked(card.people).filter(([, part]) => part > 0).slice(0, 3).map(([word, part]) => `${word} ${percent(part)}`).join(", ")}.`,
      ...ratedSentences(card, row)];
    const stage = new Stage(item, this.context.facts);
    replace(this.table, element("p", { class: "file" }, `${card.name}${this.score()}`), heading,
      row.unusual && element("p", { class: "doubt", role: "note" }, "This picture is unlike the photographs that the model was made for: its answer means little."),
      sentences.filter(Boolean).map((text) => element("p", {}, text)),
      element("div", { class: "pair even" }, stage.element, answerWheel(row.emotions, guess, model, this.context.facts.wheels)),
      element("div", { class: "row" }, element("button", { type: "button", class: "main", id: "next", onclick: () => this.next() }, this.rounds.length < this.cards.length ? "Next picture" : "Where we part"),
        agreed || element("button", { type: "button", onclick: () => stage.show(guess) }, `What speaks for ${guess}?`),
        this.rounds.length < this.cards.length && element("button", { type: "button", onclick: () => this.sumUp() }, "Stop here")));
    heading.focus();
    stage.show(top);
  }

  score() {
    const agreed = this.rounds.filter(({ guess, top }) => guess === top).length;
    return this.rounds.length ? `; you and the model agreed on ${agreed} of ${this.rounds.length}` : "";
  }

  sumUp() {
    const parted = this.rounds.filter(({ guess, top }) => guess !== top);
    const agreed = this.rounds.length - parted.length;
    const heading = element("h2", { tabindex: "-1", class: "answer" }, `You and the model agree on ${agreed} of ${plural(this.rounds.length, "picture")}`);
    replace(this.table, heading, pairsOf(parted), parted.length > 0 && partedTable(parted),
      element("div", { class: "row" }, element("button", { type: "button", id: "save-answers", onclick: () => this.save() }, "Save your answers as CSV"),
        element("button", { type: "button", class: "main", onclick: () => { this.table.replaceChildren(); this.setup.hidden = false; } }, "Play again")),
      element("p", { class: "note" }, "The file lists each picture with your answer as its label. Put it next to the pictures, and ",
        element("code", {}, "affectlens evaluate --data csv:answers.csv"), " measures how often the model agrees with you; ", element("code", {}, "affectlens train"), " learns from it."));
    heading.focus();
    announce(heading.textContent);
  }

  save() {
    saveText("answers.csv", "text/csv", csvText([["path", "label"], ...this.rounds.map(({ card, guess }) => [card.name, guess])]));
  }
}

// People's mean rating next to the model's, where both are known.
function ratedSentences({ ratings }, row) {
  return Object.entries(ratings).filter(([name]) => row[name]).map(([name, mean]) => {
    const { low, high } = row[name];
    return `People rate its ${name} ${mean.toFixed(1)} on average; the model’s interval is ${interval(row[name])}, ${mean >= low && mean <= high ? "which holds it" : "which misses it"}.`;
  });
}

// Which pairs of answers came more than once, as sentences.
function pairsOf(parted) {
  const counts = new Map();
  for (const { guess, top } of parted) counts.set(`${guess} where it predicts ${top}`, (counts.get(`${guess} where it predicts ${top}`) ?? 0) + 1);
  const often = [...counts].filter(([, count]) => count > 1).sort(([, one], [, other]) => other - one).map(([text, count]) => `${text} (${count} times)`);
  return often.length ? [element("p", {}, `Most often you feel ${listed(often)}.`)] : [];
}

function partedTable(parted) {
  const head = ["Picture", "you", "model", "it gives yours"].map((name) => element("th", { scope: "col" }, name));
  const rows = parted.map(({ card, guess, item, top }) => element("tr", {}, element("th", { scope: "row" }, element("img", { class: "thumb", src: item.url, alt: "" }), card.name),
    element("td", {}, guess), element("td", {}, top), element("td", {}, percent(item.row.emotions[guess]))));
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Where you part" }, element("table", {}, element("thead", {}, element("tr", {}, head)), element("tbody", {}, rows)));
}

async function firstItem(file, model, context) {
  for await (const [item] of predictedItems([file], model, context)) return item;
  return null;
}

async function fileOf(url, name) {
  const blob = await (await open(url)).blob();
  return new File([blob], name, { type: blob.type });
}

function shuffled(cards) {
  const mixed = [...cards];
  for (let last = mixed.length - 1; last > 0; last -= 1) {
    const other = Math.floor(Math.random() * (last + 1));
    [mixed[last], mixed[other]] = [mixed[other], mixed[last]];
  }
  return mixed;
}
