// Emotions over a film's time: areas as thick as they are likely, below a head that can be moved.

import { drawing, element, note } from "./dom.js";
import { coloured, emotionOf } from "./bars.js";
import { RatingLines, timeAxis, veil } from "./film_axis.js";
import { clock, percent, ranked } from "./words.js";

const [WIDTH, HEIGHT] = [1000, 240];

const HELP =
  "The thickness of an area is the probability of its emotion; negative emotions are hatched. Click to go to a " +
  "moment; on the chart, arrow keys go frame by frame.";
const VEILED =
  "Veiled: frames unlike the pictures that the model was made for, as title cards. What is predicted there means little.";

// frames: [{ time, emotions, ratings, unusual }], in the order of time. `events`: onSeek(second), onMove(frame).
export class FilmChart {
  constructor(model, events) {
    this.model = model;
    this.events = events;
    this.frames = [];
    this.duration = 0;
    this.second = 0;
    this.areas = new Map(
      stacked(model).map((word) => [word, drawing("path", { fill: emotionOf(model, word).colour })]),
    );
    this.hatch = element("div", { class: "hatch" });
    this.veil = element("div", { class: "veil" });
    this.head = element("div", { class: "head" });
    this.lines = new RatingLines(model);
    this.axis = element("div", { class: "axis", "aria-hidden": "true" });
    this.veiled = note(VEILED);
    const stretched = {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    };
    const svg = drawing("svg", stretched, ...this.areas.values());
    const properties = {
      class: "chart",
      role: "slider",
      tabindex: "0",
      "aria-label": "Time in the film",
      "aria-valuemin": "0",
      "aria-valuemax": "0",
      "aria-valuenow": "0",
      onclick: (event) => this.seekAt(event),
      onkeydown: (event) => this.key(event),
    };
    this.slider = element("div", properties, svg, this.hatch, this.veil, this.head);
    const words = [...this.areas.keys()].map((word) => element("li", {}, swatch(word, model), word));
    this.element = element(
      "div",
      {},
      this.slider,
      this.lines.element,
      this.axis,
      element("ul", { class: "legend plain" }, words),
      note(HELP),
      this.veiled,
    );
  }

  add(frames, duration) {
    this.frames.push(...frames);
    this.duration = duration || Math.max(this.duration, this.frames.at(-1)?.time ?? 0);
    this.redraw();
  }

  // All of a finished film, smoothed within its shots as in the report.
  complete({ samples, vocabulary, scales, film }) {
    const named = (names, values) => Object.fromEntries(names.map((name, index) => [name, values[index]]));
    const rated = (scales ?? []).map(({ name }) => name);
    this.frames = samples.map(({ second, smoothed, smoothed_ratings, unusual, faded }) => ({
      time: second,
      emotions: named(vocabulary.words, smoothed),
      ratings: smoothed_ratings && named(rated, smoothed_ratings),
      unusual: unusual || faded,
    }));
    this.duration = film.duration || this.frames.at(-1)?.time || 0;
    this.redraw();
  }

  redraw() {
    this.slider.setAttribute("aria-valuemax", this.duration.toFixed(2));
    const base = this.frames.map(() => 0);
    for (const [word, path] of this.areas) {
      const below = [...base];
      this.frames.forEach(({ emotions }, index) => {
        base[index] += emotions[word] ?? 0;
      });
      path.setAttribute("d", this.frames.length ? this.area(below, base) : "");
    }
    this.hatch.style.setProperty("clip-path", this.negativePart());
    this.veil.style.setProperty("clip-path", veil(this.frames, this.duration));
    this.veiled.hidden = !this.frames.some(({ unusual }) => unusual);
    this.lines.draw(this.frames, this.duration);
    this.axis.replaceChildren(...timeAxis(this.duration));
    this.moveTo(this.second);
  }

  // Negative emotions are the lowest areas. They are hatched by CSS, as an SVG's own hatching would be stretched.
  negativePart() {
    const others = this.model.emotions
      .filter(({ polarity }) => polarity !== "negative")
      .map(({ name }) => name);
    const share = ({ emotions }) => others.reduce((sum, word) => sum + (emotions[word] ?? 0), 0);
    const corners = this.frames.map((frame) => [this.across(frame.time) / (WIDTH / 100), 100 * share(frame)]);
    if (!corners.length) return "polygon(0 0)";
    const ends = [
      [corners.at(-1)[0], 100],
      [corners[0][0], 100],
    ];
    return `polygon(${[...corners, ...ends].map(([x, y]) => `${x.toFixed(2)}% ${y.toFixed(2)}%`).join(", ")})`;
  }

  area(below, above) {
    const point = (value, index) =>
      `${this.across(this.frames[index].time).toFixed(1)} ${(HEIGHT * value).toFixed(1)}`;
    const edge = above.map(point);
    const back = below.map(point).reverse();
    return `M${edge.join("L")}L${back.join("L")}Z`;
  }

  across(second) {
    return this.duration ? (WIDTH * second) / this.duration : 0;
  }

  moveTo(second) {
    this.second = second;
    this.head.style.setProperty("left", `${this.across(second) / (WIDTH / 100)}%`);
    const frame = this.nearest(second);
    if (!frame) return;
    const [word, value] = ranked(frame.emotions)[0];
    this.slider.setAttribute("aria-valuenow", second.toFixed(2));
    this.slider.setAttribute("aria-valuetext", `${clock(second, 1)}: ${word} ${percent(value)}`);
    this.events.onMove(frame);
  }

  nearest(second) {
    const distance = ({ time }) => Math.abs(time - second);
    return this.frames.reduce((best, each) => (best && distance(best) <= distance(each) ? best : each), null);
  }

  seekAt(event) {
    const box = this.slider.getBoundingClientRect();
    this.events.onSeek((this.duration * (event.clientX - box.left)) / box.width);
  }

  key(event) {
    const index = this.frames.indexOf(this.nearest(this.second));
    const last = this.frames.length - 1;
    const [before, after] = [Math.max(index - 1, 0), Math.min(index + 1, last)];
    const keys = {
      ArrowLeft: before,
      ArrowDown: before,
      ArrowRight: after,
      ArrowUp: after,
      Home: 0,
      End: last,
    };
    const target = keys[event.key];
    if (target === undefined || last < 0) return;
    event.preventDefault();
    this.events.onSeek(this.frames[target].time);
  }
}

// Positive emotions above, negative ones below, as in the reports.
function stacked({ emotions }) {
  const rank = { positive: 0, negative: 2 };
  const order = ({ polarity }) => rank[polarity] ?? 1;
  return [...emotions].sort((one, other) => order(one) - order(other)).map(({ name }) => name);
}

function swatch(word, model) {
  const made = coloured("i", word, model);
  made.classList.add("swatch");
  return made;
}
