// Guess first: a picture, one's own answer on the wheel, then the model's with its heat map, and people's
// where they are known. Pictures are one's own, or those that the service was started with.

import { answerHeading, byId, element, fileButton, note, replace, showProblem, warning } from "./dom.js";
import { summaryOf } from "./game_summary.js";
import { picturesAmong, predictedItems } from "./pictures.js";
import { connected, open } from "./service.js";
import { Stage } from "./stage.js";
import { ownWheel, plutchikWheel } from "./game_wheels.js";
import { answerWheel, guessWheel } from "./wheel.js";
import { headline, interval, percent, plural, ranked } from "./words.js";

const MOST_SHOWN = 3; // emotions that people named

export class GameView {
  constructor(context) {
    this.context = context; // { facts, limits, model() }
    this.table = element("div", { class: "game" });
    this.setup = this.makeSetup(context.facts.game);
    byId("game").append(this.setup, this.table);
  }

  makeSetup(offered) {
    const files = fileButton(offered ? "Choose your own pictures" : "Choose pictures", {
      id: "game-files",
      accept: "image/*",
      multiple: true,
      onFiles: (chosen) => this.take(chosen),
    });
    const text = `Play with the ${plural(offered, "picture")} of this service`;
    const button =
      offered > 0 &&
      element(
        "button",
        { type: "button", class: "main", id: "play", onclick: () => this.playOffered() },
        text,
      );
    this.onPlutchik = element("input", { type: "checkbox", id: "on-plutchik" });
    const converts = Object.values(this.context.facts.to_plutchik).some(Boolean);
    const wheel =
      converts &&
      element("label", {}, this.onPlutchik, " on Plutchik’s wheel, to which the answer converts with a loss");
    return element(
      "div",
      { class: "drop" },
      element("p", { class: "invitation" }, "Guess first, then see what the model predicts"),
      element("div", { class: "row" }, button, files, wheel),
      note(
        "There are no wrong answers: the model predicts what people feel on average, and you are one of them.",
      ),
    );
  }

  take(files) {
    if (this.setup.hidden) return;
    const { pictures, problem } = picturesAmong(files);
    showProblem(problem);
    this.play(pictures.map(cardOf));
  }

  async playOffered() {
    try {
      showProblem(null);
      const { pictures } = await connected((await open("game")).json());
      await this.play(pictures.map(({ url, ...card }) => ({ ...card, load: () => fileOf(url, card.name) })));
    } catch (error) {
      showProblem(error);
    }
  }

  // cards: [{ name, people: emotions or null, ratings: by name, load(): a promise of the file }]
  async play(cards) {
    if (!cards.length) return;
    this.setup.hidden = true;
    this.model = this.context.model();
    const plutchik = this.onPlutchik.checked && plutchikWheel(this.model, this.context.facts);
    this.wheel = plutchik || ownWheel(this.model);
    this.cards = shuffled(cards);
    this.rounds = []; // [{ card, guess, item, emotions: the model’s on this wheel, top: the likeliest of them }]
    await this.next();
  }

  async next() {
    this.left?.abort();
    const card = this.cards[this.rounds.length];
    if (!card) {
      this.sumUp();
      return;
    }
    try {
      const file = await card.load();
      // Predicted while the player is still thinking.
      const item = firstItem(file, this.model, this.context);
      item.catch(() => {});
      this.pose({ card, file, item });
    } catch (error) {
      this.setup.hidden = false;
      showProblem(error);
    }
  }

  pose({ card, file, item }) {
    const heading = answerHeading("What does this make you feel?");
    const url = URL.createObjectURL(file);
    const picture = element("img", {
      src: url,
      alt: "The picture to guess",
      onload: () => URL.revokeObjectURL(url),
    });
    const guessed = (guess) => this.reveal({ card, item, guess });
    replace(
      this.table,
      this.status(`Picture ${this.rounds.length + 1} of ${this.cards.length}`),
      heading,
      element(
        "div",
        { class: "pair even" },
        element("div", { class: "stage" }, picture),
        element(
          "div",
          {},
          guessWheel(this.wheel, this.context.facts.wheels, guessed),
          note("Choose the emotion that comes nearest."),
        ),
      ),
    );
    heading.focus();
  }

  async reveal({ card, item, guess }) {
    if (this.isRevealing) return;
    this.isRevealing = true;
    try {
      const found = await item;
      if (found.row.error) throw new Error(`${card.name} is passed over: ${found.row.error.message}`);
      const emotions = this.wheel.read(found.row.emotions);
      this.rounds.push({ card, guess, item: found, emotions, top: ranked(emotions)[0][0] });
      this.showAnswer(this.rounds.at(-1));
    } catch (error) {
      showProblem(error);
      this.cards = this.cards.filter((each) => each !== card);
      await this.next();
    } finally {
      this.isRevealing = false;
    }
  }

  showAnswer({ card, guess, item, emotions, top }) {
    const { row } = item;
    const { facts } = this.context;
    const before = guess === top ? "You and the model agree: " : `You feel ${guess}, the model predicts `;
    const heading = answerHeading(before, element("em", {}, top));
    this.left = new AbortController();
    const stage = new Stage(item, facts, this.left.signal);
    replace(
      this.table,
      this.status(card.name),
      heading,
      row.unusual && warning(`${facts.unusual}.`),
      [
        ...answerSentences(emotions, guess, top),
        ...setSentences(row, guess, top),
        ...peopleSentences(card, row),
      ].map((text) => element("p", {}, text)),
      this.wheel.lost && note(lossSentence(emotions, this.wheel.lost)),
      element(
        "div",
        { class: "pair even" },
        stage.element,
        answerWheel(emotions, guess, this.wheel, facts.wheels),
      ),
      this.choices(stage, guess !== top && guess in row.emotions ? guess : null),
    );
    heading.focus();
    stage.show(ranked(row.emotions)[0][0]);
  }

  choices(stage, guess) {
    const isLast = this.rounds.length === this.cards.length;
    const button = (text, onclick, properties = {}) =>
      element("button", { type: "button", onclick, ...properties }, text);
    return element(
      "div",
      { class: "row" },
      button(isLast ? "Where we part" : "Next picture", () => this.next(), { class: "main", id: "next" }),
      guess && button(`What speaks for ${guess}?`, () => stage.show(guess)),
      !isLast && button("Stop here", () => this.sumUp()),
    );
  }

  sumUp() {
    this.left?.abort();
    const heading = answerHeading(
      `You and the model agree on ${this.agreed()} of ${plural(this.rounds.length, "picture")}`,
    );
    const again = () => {
      this.table.replaceChildren();
      this.setup.hidden = false;
      this.setup.querySelector("button, input").focus();
    };
    replace(this.table, heading, summaryOf(this.rounds, again));
    heading.focus();
  }

  status(text) {
    const score = this.rounds.length
      ? `; you and the model agreed on ${this.agreed()} of ${this.rounds.length}`
      : "";
    return element("p", { class: "file" }, `${text}${score}`);
  }

  agreed() {
    return this.rounds.filter(({ guess, top }) => guess === top).length;
  }
}

const cardOf = (file) => ({ name: file.name, load: async () => file, people: null, ratings: {} });

function answerSentences(emotions, guess, top) {
  const likeliest = `${headline(emotions)} ${top}, ${percent(emotions[top])}`;
  if (guess === top) return [`${likeliest}.`];
  // Exactly 0 is what a conversion never gives; a model's own emotions are all above it.
  const yours = emotions[guess] ? percent(emotions[guess]) : "nothing, as it never does";
  return [`${likeliest}; the model gives your ${guess} ${yours}.`];
}

// Of the model's own words alone: its sets hold no others.
function setSentences(row, guess, top) {
  if (!row.set || guess === top || !(guess in row.emotions)) return [];
  const isIn = row.set.includes(guess);
  const set = isIn
    ? "is in the model’s set of emotions: it did not rule it out"
    : "is not in the model’s set of emotions";
  return [`Your answer ${set}.`];
}

function lossSentence(emotions, lost) {
  const kept = Object.values(emotions).reduce((sum, value) => sum + value, 0);
  const dropped = percent(Math.max(0, 1 - kept));
  return `On Plutchik’s wheel by a mapping that loses something: ${lost}. ${dropped} of the answer has no counterpart on it.`;
}

// What people answered, and their mean rating next to the model's, where these are known.
function peopleSentences({ people, ratings }, row) {
  const named = ranked(people ?? {})
    .filter(([, part]) => part > 0)
    .slice(0, MOST_SHOWN);
  // All of them named the same one, perhaps a single person: a percent would claim more than is known.
  const emotions = named.map(([word, part]) => (named.length > 1 ? `${word} ${percent(part)}` : word)).join(", ");
  const rated = Object.entries(ratings)
    .filter(([name]) => row[name])
    .map(([name, mean]) => {
      const holds = mean >= row[name].low && mean <= row[name].high ? "holds it" : "misses it";
      return `People rate its ${name} ${mean.toFixed(1)} on average; the model’s interval, ${interval(row[name])}, ${holds}.`;
    });
  return emotions ? [`People: ${emotions}.`, ...rated] : rated;
}

async function firstItem(file, model, context) {
  for await (const [item] of predictedItems([file], model, context)) return item;
  return null;
}

async function fileOf(url, name) {
  const blob = await connected((await open(url)).blob());
  return new File([blob], name, { type: blob.type });
}

// Fisher and Yates' shuffle.
function shuffled(cards) {
  const mixed = [...cards];
  for (let last = mixed.length - 1; last > 0; last -= 1) {
    const other = Math.floor(Math.random() * (last + 1));
    [mixed[last], mixed[other]] = [mixed[other], mixed[last]];
  }
  return mixed;
}
