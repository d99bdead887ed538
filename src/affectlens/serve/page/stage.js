// A picture with the heat map of one emotion laid on it, and a slider between the two.

import { announce, element, showProblem } from "./dom.js";
import { explain } from "./service.js";

const MOST_TOGETHER = 12; // emotions that one request explains: each has a picture of its own in the answer

export class Stage {
  // The signal aborts once the picture is left, whereupon no map of it is needed.
  constructor(item, facts, signal) {
    this.signal = signal;
    this.item = item;
    this.facts = facts;
    this.image = element("img", { src: item.url, alt: item.file.name, onerror: () => this.withoutPicture() });
    this.map = element("img", { class: "map", alt: "", hidden: true });
    this.picture = element("div", { class: "stage" }, this.image, this.map);
    this.slider = element("input", {
      type: "range",
      min: "0",
      max: "100",
      value: "80",
      "aria-label": "Strength of the heat map over the picture",
      oninput: () => this.fade(),
    });
    this.fader = element(
      "div",
      { class: "fade", hidden: true },
      element("span", {}, "picture"),
      this.slider,
      element("span", {}, "map"),
    );
    this.reading = element(
      "figcaption",
      { class: "note" },
      "Choose an emotion to see which parts of the picture speak for it.",
    );
    this.element = element("figure", {}, this.picture, this.fader, this.reading);
  }

  // Show the map of an emotion. Maps are kept, so that each is computed once.
  async show(word) {
    this.wanted = word;
    this.picture.setAttribute("aria-busy", "true");
    this.reading.textContent = `The heat map of ${word} is being computed …`;
    try {
      const answer = await this.mapOf(word);
      if (this.wanted === word) this.lay(word, answer);
    } catch (error) {
      if (this.wanted !== word || this.signal.aborted) return;
      this.reading.textContent = `There is no heat map of ${word}: ${error.message}`;
      showProblem(error);
    } finally {
      if (this.wanted === word) this.picture.removeAttribute("aria-busy");
    }
  }

  // Of one picture all emotions are explained together, which takes hardly longer than one: the same changes
  // of the picture serve for all.
  async mapOf(word) {
    const { file, model } = this.item;
    const words = model.emotions.map(({ name }) => name);
    const together = words.length <= MOST_TOGETHER ? words : [word];
    const key = together.join("\n");
    if (!this.item.maps.has(key)) {
      const wanted = explain(file, { model: model.name, emotions: together, signal: this.signal });
      wanted.catch(() => this.item.maps.delete(key));
      this.item.maps.set(key, wanted);
    }
    const answer = await this.item.maps.get(key);
    return { ...answer, ...answer.explanations.find(({ emotion }) => emotion === word) };
  }

  lay(word, { overlay, unit, width, height, method }) {
    this.picture.style.setProperty("aspect-ratio", `${width} / ${height}`);
    this.map.src = overlay;
    this.map.hidden = this.fader.hidden = false;
    this.map.alt = `Heat map of ${word}, laid on the picture`;
    this.map.dataset.emotion = word;
    this.fade();
    this.reading.replaceChildren(...this.legend(word, unit, method));
    announce(`Heat map of ${word} shown.`);
  }

  legend(word, unit, method) {
    const swatch = (colour) => element("i", { class: "swatch", style: { "background-color": colour } });
    const { positive, negative } = this.facts.map_colours;
    return [
      swatch(positive),
      `speaks for ${word} `,
      swatch(negative),
      "speaks against it, the stronger the colour the more. ",
      element("small", {}, `(${method}, ${unit})`),
    ];
  }

  fade() {
    const strength = Number(this.slider.value) / 100;
    this.map.style.setProperty("opacity", strength);
    // Grey under its map, as in the reports: the picture's own colours are not taken for those of the map.
    this.image.style.setProperty("filter", `grayscale(${strength})`);
  }

  // The service reads formats that browsers do not show; its map is laid on an empty ground then.
  withoutPicture() {
    this.image.hidden = true;
    this.picture.classList.add("blank");
    this.picture.dataset.note = "This browser cannot show the format of this picture.";
  }
}
