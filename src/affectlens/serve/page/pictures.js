// The view of pictures: what is given is predicted in its order; one is shown in full, several as a sheet.

import { announce, byId, element, showProblem } from "./dom.js";
import { comparisonOf } from "./compare.js";
import { detailOf } from "./detail.js";
import { predict } from "./service.js";
import { Sheet } from "./sheet.js";
import { headline, listed, plural, ranked } from "./words.js";

const AT_ONCE = 8; // pictures of a request: the first answers are shown while the others are predicted
// Dropped with pictures; a type that the browser does not know may be one.
const OTHERS = /^(audio|text|video)\//;
const SLACK = 65536; // bytes of a request around its pictures

// One picture with its answer: { file, url, row, model, maps: emotion to a promise of its explanation }.
const itemOf = (file, row, model) => ({ file, url: URL.createObjectURL(file), row, model, maps: new Map() });

// Parts of a list of files that fit into one request each, by count and by bytes.
export function batchesOf(files, { pictures, request_bytes: bytes }) {
  const batches = [];
  let room = 0;
  for (const file of files) {
    if (!batches.length || batches.at(-1).length >= Math.min(pictures, AT_ONCE) || file.size > room) {
      batches.push([]);
      room = bytes - SLACK;
    }
    batches.at(-1).push(file);
    room -= file.size;
  }
  return batches;
}

// Items of files, batch by batch as they are answered; shared with the game.
export async function* predictedItems(files, model, { limits, facts }) {
  const options = {
    model: model.name,
    coverage: model.coverage ? facts.coverage : null,
    attributes: model.attributes.length > 0,
  };
  for (const batch of batchesOf(files, limits)) {
    const rows = await predict(batch, options);
    yield batch.map((file, index) => itemOf(file, rows[index], model));
  }
}

// Pictures, and for what is none an error that names it; null where all are pictures.
export function picturesAmong(files) {
  const all = [...files];
  const others = all.filter(({ type }) => OTHERS.test(type));
  const are = others.length === 1 ? "is not a picture and was" : "are not pictures and were";
  const hint = others.some(({ type }) => type.startsWith("video/")) ? " A film is sent under “Film”." : "";
  const text = `${listed(others.map(({ name }) => name))} ${are} left out.${hint}`;
  return {
    pictures: all.filter((file) => !others.includes(file)),
    problem: others.length > 0 ? new Error(text) : null,
  };
}

export class PicturesView {
  constructor(context) {
    this.context = context; // { limits, facts, model(): the chosen model }
    this.items = [];
    this.answers = byId("answers");
    this.shown = element("div", {});
    this.waiting = Promise.resolve();
    byId("model")?.addEventListener("change", () => this.predictAgain());
  }

  // By the model that was chosen now: answers of two models are not shown together.
  predictAgain() {
    const files = this.items.map(({ file }) => file);
    this.clear();
    return this.take(files);
  }

  // Files that come while others are predicted wait for their turn.
  take(files) {
    const { pictures, problem } = picturesAmong(files);
    if (pictures.length) this.waiting = this.waiting.then(() => this.predict(pictures, problem));
    else showProblem(problem);
    return this.waiting;
  }

  async predict(files, problem) {
    const model = this.context.model();
    showProblem(problem);
    const { items: into } = this; // another list once all are removed, whereupon what still comes is left
    const before = into.length;
    try {
      this.showBusy(0, files.length);
      for await (const items of predictedItems(files, model, this.context)) {
        if (this.items !== into) return;
        const isFirst = into.length === before;
        into.push(...items);
        this.showBusy(into.length - before, files.length);
        this.arrange(model);
        if (isFirst) this.open(items[0]);
      }
      announce(
        files.length === 1 ? summaryOf(into[before]) : `${plural(files.length, "picture")} predicted.`,
      );
    } catch (error) {
      showProblem(error);
    } finally {
      byId("busy").hidden = true;
    }
  }

  arrange(model) {
    if (this.items.length < 2) {
      if (!this.shown.isConnected) this.answers.replaceChildren(this.shown);
      return;
    }
    this.sheet ??= new Sheet(model, {
      onOpen: (item) => this.open(item, { isFocused: true }),
      onCompare: (pair) => this.show(comparisonOf(pair), { isFocused: true }),
      onClear: () => {
        this.clear();
        byId("files").focus();
      },
    });
    this.sheet.set(this.items);
    if (!this.sheet.element.isConnected) this.answers.replaceChildren(this.sheet.element, this.shown);
  }

  open(item, options) {
    this.left?.abort();
    this.left = new AbortController();
    this.show(detailOf(item, this.context.facts, this.left.signal), options);
  }

  // What someone opened gets the focus, so that keys and screen readers go on there.
  show(made, { isFocused = false } = {}) {
    this.shown.replaceChildren(made);
    if (isFocused) made.querySelector(".answer").focus();
  }

  clear() {
    this.left?.abort();
    for (const { url } of this.items) URL.revokeObjectURL(url);
    this.items = [];
    this.sheet = undefined;
    this.shown.replaceChildren();
    this.answers.replaceChildren();
  }

  showBusy(done, all) {
    const busy = byId("busy");
    busy.hidden = false;
    busy.textContent =
      all === 1 ? "The picture is being predicted …" : `${done} of ${plural(all, "picture")} predicted …`;
  }
}

function summaryOf({ file, row }) {
  return row.error
    ? `${file.name} could not be read.`
    : `${file.name}: ${headline(row.emotions)} ${ranked(row.emotions)[0][0]}.`;
}
