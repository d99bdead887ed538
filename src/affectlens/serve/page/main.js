// Wires the page: where files come from, which view takes them, which model answers.

import { byId, showProblem } from "./dom.js";
import { PicturesView } from "./pictures.js";
import { loadModels, needsToken, setToken } from "./service.js";
import { takeDrops, takePastes } from "./sources.js";
import { Views } from "./views.js";

async function start() {
  const { models, default: preferred, limits } = await described();
  const chosen = () => byId("model")?.value ?? preferred;
  const context = {
    facts: JSON.parse(byId("facts").textContent),
    limits,
    model: () => models.find(({ name }) => name === chosen()) ?? models[0],
  };
  const pictures = new PicturesView(context);
  const views = new Views(context, pictures);
  const take = (files) => views.current?.take(files);
  wireForm(pictures);
  takeDrops(take);
  takePastes(take);
  const show = () => views.show().catch(showProblem);
  window.addEventListener("hashchange", show);
  await show();
  document.documentElement.dataset.ready = "true";
}

// What the service has; where it wants a token, once it was given the right one.
async function described() {
  for (;;) {
    try {
      const found = await loadModels();
      byId("token").hidden = true;
      showProblem(null);
      return found;
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

// The form works without scripts; with them it takes several pictures, and answers in the page.
function wireForm(pictures) {
  for (const each of document.querySelectorAll(".scripted")) each.hidden = false;
  for (const each of document.querySelectorAll(".without-scripts")) each.hidden = true;
  byId("files").multiple = true;
  for (const input of [byId("files"), byId("camera")]) {
    input.addEventListener("change", () => {
      pictures.take(input.files);
      input.value = ""; // so that the same file can be chosen again
    });
  }
  byId("pick").addEventListener("submit", (event) => {
    event.preventDefault();
    if (event.submitter === byId("sample")) takeSample(pictures).catch(showProblem);
  });
}

async function takeSample(pictures) {
  const response = await fetch("sample.jpg");
  await pictures.take([new File([await response.blob()], "sample.jpg", { type: "image/jpeg" })]);
}

start().catch(showProblem);
