// Wires the page: where pictures come from, which view is shown, which model answers.

import { byId, showProblem } from "./dom.js";
import { PicturesView } from "./pictures.js";
import { loadModels, needsToken, setToken } from "./service.js";

const facts = JSON.parse(byId("facts").textContent);
const VIEWS = ["pictures", "film", "game"];
// Each is loaded when it is first shown.
const LATER = {
  film: async (context) => new (await import("./film.js")).FilmView(context),
  game: async (context) => new (await import("./game.js")).GameView(context),
};

async function start() {
  const { models, default: preferred, limits } = await described();
  byId("token").hidden = true;
  showProblem(null);
  const chosen = () => byId("model")?.value ?? preferred;
  const context = { facts, limits, model: () => models.find(({ name }) => name === chosen()) ?? models[0] };
  const pictures = new PicturesView(context);
  for (const each of document.querySelectorAll(".scripted")) each.hidden = false;
  for (const each of document.querySelectorAll(".without-scripts")) each.hidden = true;
  takePictures(pictures);
  showViews(context);
  document.documentElement.dataset.ready = "true";
}

// What the service has; where it wants a token, once it was given the right one.
async function described() {
  for (;;) {
    try {
      return await loadModels();
    } catch (error) {
      if (!needsToken(error)) throw error;
      showProblem(byId("token").hidden ? null : error);
      setToken(await givenToken());
    }
  }
}

function givenToken() {
  const form = byId("token");
  form.hidden = false;
  byId("token-field").focus();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      resolve(byId("token-field").value);
    };
  });
}

function takePictures(pictures) {
  const form = byId("pick");
  const files = byId("files");
  files.multiple = true;
  byId("send").hidden = true;
  for (const input of [files, byId("camera")]) {
    input.addEventListener("change", () => {
      pictures.add(input.files);
      input.value = "";
    });
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (event.submitter === byId("sample")) addSample(pictures);
  });
  document.addEventListener(
    "paste",
    (event) => isShown("pictures") && pictures.add(event.clipboardData.files),
  );
  takeDrops(form, (dropped) => isShown("pictures") && pictures.add(dropped));
}

// Dropped next to the form as well: else the browser would leave the page for the picture.
function takeDrops(form, onFiles) {
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    form.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) form.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    onFiles([...event.dataTransfer.files].filter((file) => !/^(text|audio|video)\//.test(file.type)));
  });
}

async function addSample(pictures) {
  const response = await fetch("sample.jpg");
  pictures.add([new File([await response.blob()], "sample.jpg", { type: "image/jpeg" })]);
}

const isShown = (view) => !byId(view).hidden;

function showViews(context) {
  const opened = new Map(); // views by name, and under "shown" which one is seen
  const nav = byId("views");
  const show = async () => {
    const named = location.hash.slice(1);
    if (named && !VIEWS.includes(named) && opened.has("shown")) return; // a link within a view
    const view = VIEWS.includes(named) ? named : VIEWS[0];
    opened.set("shown", view);
    for (const each of VIEWS) byId(each).hidden = each !== view;
    for (const link of nav.children) {
      if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (LATER[view] && !opened.has(view)) opened.set(view, await LATER[view](context));
  };
  nav.hidden = false;
  window.addEventListener("hashchange", () => show().catch(showProblem));
  return show().catch(showProblem);
}

start().catch(showProblem);
