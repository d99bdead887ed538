// The view of films: a film is sent, and its timeline grows while the service watches it.

import { announce, byId, element, replace, saveText, showProblem } from "./dom.js";
import { eventsOf } from "./events.js";
import { FilmChart } from "./film_chart.js";
import { deleteFilm, startFilm } from "./service.js";
import { clock, percent, plural, ranked } from "./words.js";

export class FilmView {
  constructor(context) {
    this.context = context;
    this.pick = element("input", { type: "file", id: "film-file", accept: "video/*,.mkv", onchange: () => this.start(this.pick.files[0]) });
    this.cancel = element("button", { type: "button", hidden: true, onclick: () => this.stop() }, "Cancel");
    this.busy = element("p", { class: "busy", hidden: true });
    this.progress = element("progress", { max: 1, value: 0, "aria-label": "Part of the film that was watched", hidden: true });
    this.shown = element("div", {});
    byId("film").append(
      element("div", { class: "drop" }, element("p", { class: "invitation" }, element("label", { for: "film-file" }, "Choose a film")),
        element("div", { class: "row" }, this.pick, this.cancel), this.busy, this.progress,
        element("p", { class: "note" }, "The film goes to this service alone, which removes it when you cancel, when it is done here, or after a while.")), this.shown);
  }

  async start(file) {
    if (!file) return;
    await this.stop();
    showProblem(null);
    const model = this.context.model();
    const stopped = new AbortController();
    this.abort = stopped;
    this.show(file, model);
    this.report("The film is being sent …", 0);
    try {
      const job = await startFilm(file, { model: model.name });
      if (stopped.signal.aborted) { await deleteFilm(job.links); return; }
      this.links = job.links;
      for await (const { name, data } of eventsOf(job.links.events, stopped.signal)) this.take(name, data);
      if (this.links === job.links) throw new Error("The service ended before it had watched the film. Choose it again.");
    } catch (error) {
      if (error.name !== "AbortError") { this.end(); showProblem(error); }
    }
  }

  take(name, data) {
    if (name === "progress") {
      this.chart.add(data.frames, data.duration);
      this.report(`${clock(data.seconds)} of ${data.duration ? clock(data.duration) : "an unknown length"} watched …`, data.duration ? data.seconds / data.duration : null);
    } else if (name === "done") {
      this.finish(data.timeline);
    } else {
      this.end();
      showProblem(new Error(name === "failed" ? data.detail ?? data.title : "The film was cancelled."));
    }
  }

  finish(timeline) {
    this.end();
    this.chart.complete(timeline);
    const peaks = timeline.moments.filter(({ kind }) => kind === "peak").sort((one, other) => one.second - other.second);
    replace(this.peaks, element("h2", {}, plural(peaks.length, "peak")), peaks.length ? this.peakTable(peaks)
      : element("p", {}, "No emotion rises above what is around it by enough to be called a peak."),
      element("button", { type: "button", id: "save-timeline", onclick: () => saveText("timeline.json", "application/json", JSON.stringify(timeline)) }, "Save the timeline"));
    announce(`The film was watched to its end; ${plural(peaks.length, "peak")} found.`);
  }

  peakTable(peaks) {
    const head = ["Emotion", "Time", "Probability"].map((name) => element("th", { scope: "col" }, name));
    const rows = peaks.map((peak) => element("tr", {}, element("th", { scope: "row" }, peak.emotion),
      element("td", {}, element("button", { type: "button", "aria-label": `Go to ${peak.emotion} at ${clock(peak.second, 1)}`, onclick: () => this.seek(peak.second) }, clock(peak.second, 1))),
      element("td", {}, percent(peak.value))));
    return element("table", { class: "peaks" }, element("thead", {}, element("tr", {}, head)), element("tbody", {}, rows));
  }

  show(file, model) {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(file);
    this.video = element("video", { controls: true, playsinline: true, src: this.url, "aria-label": file.name, ontimeupdate: () => this.chart.moveTo(this.video.currentTime),
      onerror: () => announce("This browser cannot play the film; its timeline is shown all the same.") });
    this.now = element("p", { class: "now" });
    this.chart = new FilmChart(model, { onSeek: (second) => this.seek(second), onMove: (frame) => this.describe(frame) });
    this.peaks = element("section", { "aria-label": "Peaks" });
    replace(this.shown, element("div", { class: "watch" }, this.video, this.now), this.chart.element, this.peaks);
  }

  describe({ time, emotions }) {
    const likeliest = ranked(emotions).slice(0, 3).map(([word, value]) => `${word} ${percent(value)}`).join(", ");
    this.now.textContent = `${clock(time, 1)}: ${likeliest}`;
  }

  seek(second) {
    this.video.currentTime = second;
    this.chart.moveTo(second);
  }

  report(text, part) {
    this.busy.textContent = text;
    this.busy.hidden = this.progress.hidden = this.cancel.hidden = false;
    if (part === null) this.progress.removeAttribute("value");
    else this.progress.value = part;
  }

  // The film is removed from the service as soon as nothing more is needed of it.
  end() {
    this.busy.hidden = this.progress.hidden = this.cancel.hidden = true;
    const links = this.links;
    this.links = undefined;
    return links ? deleteFilm(links).catch(() => {}) : Promise.resolve();
  }

  stop() {
    this.abort?.abort();
    return this.end();
  }
}
