// Connects the charts with the film: a click, a key or the film itself moves one playhead.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const film = document.getElementById("film");
  const chart = document.getElementById("chart");
  const heads = document.querySelectorAll(".head");
  const strip = document.getElementById("strip");
  const rows = document.querySelectorAll("#now tbody tr");
  const length = Math.max(data.end - data.begin, 1e-9);
  let now = data.begin;

  // Index of the last entry of an ascending list that is not after a second.
  function indexAt(list, second) {
    let low = 0, high = list.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (list[middle] <= second + 1e-6) low = middle; else high = middle - 1;
    }
    return low;
  }

  function clock(second) {
    const tenths = Math.floor(second * 10 + 1e-6);
    const hours = Math.floor(tenths / 36000), minutes = Math.floor(tenths / 600) % 60;
    const rest = (tenths % 600) / 10;
    const two = (number, digits = 0) => number.toFixed(digits).padStart(digits ? 4 : 2, "0");
    return hours ? `${hours}:${two(minutes)}:${two(rest, 1)}` : `${minutes}:${two(rest, 1)}`;
  }

  // Move the playhead and show what the film evokes there.
  function show(second) {
    now = Math.min(data.end, Math.max(data.begin, second));
    heads.forEach((head) => { head.style.left = `${100 * (now - data.begin) / length}%`; });
    const values = data.values[indexAt(data.seconds, now)];
    const shot = indexAt(data.shots, now);
    values.forEach((value, index) => {
      rows[index].querySelector("td").textContent = `${Math.round(value / 10)}\u00a0%`;
      rows[index].querySelector("i").style.width = `${value / 10}%`;
    });
    const ranked = values.map((value, index) => [value, data.words[index]]).sort((a, b) => b[0] - a[0]);
    const likeliest = ranked.slice(0, 2).map(([value, word]) => `${word} ${Math.round(value / 10)}\u00a0%`).join(", ");
    document.getElementById("when").textContent = `${clock(now)}, shot ${data.first + shot}`;
    for (const kind of ["unusual", "faded"]) {
      if (data[kind]?.[indexAt(data.seconds, now)]) document.getElementById("when").textContent += `, ${kind} frame`;
    }
    if (data.ratings) rate(data.ratings[indexAt(data.seconds, now)]);
    chart.setAttribute("aria-valuenow", now.toFixed(2));
    chart.setAttribute("aria-valuetext", `${clock(now)}: ${likeliest}`);
    mark(shot);
  }

  // Write the ratings below the emotions.
  function rate(values) {
    document.querySelectorAll("#rated b").forEach((each, index) => { each.textContent = values[index].toFixed(1); });
  }

  // Frame the picture of the shot that is shown, or of the last one before it.
  function mark(shot) {
    if (!strip || !strip.children.length) return;
    const starts = [...strip.children].map((each) => Number(each.dataset.second));
    const current = strip.children[indexAt(starts, data.shots[shot])];
    if (current.hasAttribute("aria-current")) return;
    for (const each of strip.children) each.removeAttribute("aria-current");
    current.setAttribute("aria-current", "true");
    if (!strip.contains(document.activeElement)) strip.scrollLeft = current.offsetLeft - strip.offsetLeft - 40;
  }

  function seek(second) {
    show(second);
    if (film.currentSrc || film.src) film.currentTime = now;
  }

  function play() {
    if (!film.src) return;
    if (film.paused) film.play(); else film.pause();
  }

  // Keys on the chart: a sampled frame, a shot with Shift, a tenth of the film, its ends.
  function key(event) {
    const point = indexAt(data.seconds, now), shot = indexAt(data.shots, now);
    const next = data.seconds.findIndex((second, index) => index > point && second > now + 1e-6);
    const before = data.seconds.findLast((second) => second < now - 1e-6);
    const moves = {
      ArrowRight: event.shiftKey ? data.shots[shot + 1] ?? data.end : data.seconds[next] ?? data.end,
      ArrowLeft: event.shiftKey ? data.shots.findLast((s) => s < now - 1e-6) : before,
      PageDown: now + length / 10, PageUp: now - length / 10, Home: data.begin, End: data.end,
    };
    moves.ArrowUp = moves.ArrowRight;
    moves.ArrowDown = moves.ArrowLeft;
    if (event.key === " " || event.key === "Enter") play();
    else if (event.key in moves) seek(moves[event.key] ?? data.begin);
    else return;
    event.preventDefault();
  }

  function seekTo(event) {
    const box = chart.getBoundingClientRect();
    seek(data.begin + length * (event.clientX - box.left) / box.width);
  }

  chart.addEventListener("keydown", key);
  chart.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    chart.setPointerCapture(event.pointerId);
    seekTo(event);
  });
  chart.addEventListener("pointermove", (event) => {
    if (chart.hasPointerCapture(event.pointerId)) seekTo(event);
  });

  // Arrow keys walk along the strip; it is one stop of the tab key.
  strip?.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const all = [...strip.children], index = all.indexOf(document.activeElement);
    const next = all[index + step];
    if (!step || index < 0 || !next) return;
    all[index].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-second]");
    if (!button) return;
    seek(Number(button.dataset.second));
    document.getElementById("watch").scrollIntoView({ block: "nearest" });
  });

  film.addEventListener("timeupdate", () => { if (!film.seeking) show(film.currentTime); });
  film.addEventListener("error", () => { document.getElementById("missing").hidden = false; });
  film.addEventListener("loadedmetadata", () => { document.getElementById("missing").hidden = true; });
  if (film.error) document.getElementById("missing").hidden = false;
  document.getElementById("pick").addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (!file) return;
    film.src = URL.createObjectURL(file);
    film.currentTime = now;
  });
})();
