// The view of films: a film is sent, and its timeline grows while the service watches it.

import { announce, byId, element, fileButton, note, replace, saveText, showProblem, table } from "./dom.js";
import { eventsOf } from "./events.js";
import { FilmChart } from "./film_chart.js";
import { deleteFilm, startFilm } from "./service.js";
import { clock, percent, plural, ranked } from "./words.js";

const NO_PEAKS = "No emotion rises above what is around it by enough to be called a peak.";
const KEPT = "The film goes to this service alone, which removes it once it was watched or cancelled.";
const ENDED = "The service ended before it had watched the film. Choose it again.";

export class FilmView {
  constructor(context) {
    this.context = context;
    // A page that is left does not leave its film on the service.
    window.addEventListener("pagehide", () => this.stop());
    const pick = fileButton("Choose a film", {
      id: "film-file",
      accept: "video/*,.mkv",
      onFiles: (files) => this.take(files),
    });
    this.cancel = element(
      "button",
      {
        type: "button",
        hidden: true,
        onclick: async () => {
          await this.stop();
          this.leave();
          announce("The film was cancelled.");
        },
      },
      "Cancel",
    );
    this.busy = element("p", { class: "busy", hidden: true });
    this.progress = element("progress", {
      max: 1,
      value: 0,
      "aria-label": "Part of the film that was watched",
      hidden: true,
    });
    this.shown = element("div", {});
    byId("film").append(
      element(
        "div",
        { class: "drop" },
        element(
          "p",
          { class: "invitation" },
          "See what a film evokes, moment by moment",
          element("span", { class: "desk" }, ": choose one, or drop it here"),
        ),
        element("div", { class: "row" }, pick, this.cancel),
        this.busy,
        this.progress,
        note(KEPT),
      ),
      this.shown,
    );
  }

  take(files) {
    return this.start(files[0]);
  }

  async start(file) {
    if (!file) return;
    await this.stop();
    showProblem(null);
    const most = this.context.limits.film_bytes;
    if (file.size > most) {
      showProblem(
        new Error(
          `${file.name} has more than ${most.toLocaleString("en")} bytes, the most that this service takes.`,
        ),
      );
      return;
    }
    const model = this.context.model();
    const stopped = new AbortController();
    this.abort = stopped;
    this.show(file, model);
    this.report("The film is being sent …", 0);
    try {
      const job = await startFilm(file, { model: model.name });
      if (stopped.signal.aborted) {
        await deleteFilm(job.links);
        return;
      }
      this.links = job.links;
      for await (const { name, data } of eventsOf(job.links.events, stopped.signal)) this.follow(name, data);
      if (this.links === job.links) throw new Error(ENDED);
    } catch (error) {
      if (error.name !== "AbortError") {
        this.fail(error);
      }
    }
  }

  follow(name, data) {
    if (name === "progress") {
      this.chart.add(data.frames, data.duration);
      const length = data.duration ? clock(data.duration) : "an unknown length";
      const part = data.duration ? data.seconds / data.duration : null;
      this.report(`${clock(data.seconds)} of ${length} watched …`, part);
    } else if (name === "done") {
      this.finish(data.timeline);
    } else {
      this.fail(new Error(name === "failed" ? (data.detail ?? data.title) : "The film was cancelled."));
    }
  }

  fail(error) {
    this.end();
    this.leave();
    showProblem(error);
  }

  // What was watched stays; where that is nothing, no empty chart does.
  leave() {
    if (!this.chart.frames.length) this.shown.replaceChildren();
  }

  finish(timeline) {
    this.end();
    this.chart.complete(timeline);
    const peaks = timeline.moments
      .filter(({ kind }) => kind === "peak")
      .sort((one, other) => one.second - other.second);
    const save = () => saveText("timeline.json", "application/json", JSON.stringify(timeline));
    replace(
      this.peaks,
      element("h2", {}, plural(peaks.length, "peak")),
      peaks.length ? this.peakTable(peaks) : element("p", {}, NO_PEAKS),
      element("button", { type: "button", id: "save-timeline", onclick: save }, "Save the timeline"),
    );
    announce(`The film was watched to its end; ${plural(peaks.length, "peak")} found.`);
  }

  peakTable(peaks) {
    const rows = peaks.map(({ emotion, second, value }) => [
      emotion,
      this.seekButton(emotion, second),
      percent(value),
    ]);
    return table(["Emotion", "Time", "Probability"], rows, { class: "peaks" });
  }

  seekButton(emotion, second) {
    const time = clock(second, 1);
    const label = `Go to ${emotion} at ${time}`;
    return element("button", { type: "button", "aria-label": label, onclick: () => this.seek(second) }, time);
  }

  show(file, model) {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(file);
    this.video = element("video", {
      controls: true,
      playsinline: true,
      src: this.url,
      "aria-label": file.name,
      ontimeupdate: () => this.chart.moveTo(this.video.currentTime),
      onerror: () => announce("This browser cannot play the film; its timeline is shown all the same."),
    });
    this.now = element("p", { class: "now" });
    this.chart = new FilmChart(model, {
      onSeek: (second) => this.seek(second),
      onMove: (frame) => this.describe(frame),
    });
    this.peaks = element("section", { "aria-label": "Peaks" });
    replace(
      this.shown,
      element("p", { class: "file" }, file.name),
      element("div", { class: "watch" }, this.video, this.now),
      this.chart.element,
      this.peaks,
    );
  }

  describe({ time, emotions, ratings, unusual }) {
    const likeliest = ranked(emotions)
      .slice(0, 3)
      .map(([word, value]) => `${word} ${percent(value)}`)
      .join(", ");
    const rated = Object.entries(ratings ?? {})
      .map(([name, value]) => `; ${name} ${value.toFixed(1)}`)
      .join("");
    this.now.textContent = `${clock(time, 1)}: ${likeliest}${rated}${unusual ? " (an unusual frame)" : ""}`;
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
