// Wires the page: where files come from, which view takes them, which model answers.

import { byId, showProblem, takeChosen } from "./dom.js";
import { PicturesView } from "./pictures.js";
import { connected, loadModels, needsToken, open, setToken } from "./service.js";
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
  const files = byId("files");
  files.multiple = true;
  files.classList.add("unseen"); // its label is the button, as that of the camera
  files.parentElement.classList.add("button");
  for (const input of [files, byId("camera")]) {
    input.addEventListener("change", () => takeChosen(input, (files) => pictures.take(files)));
  }
  byId("pick").addEventListener("submit", (event) => {
    event.preventDefault();
    if (event.submitter === byId("sample")) takeSample(pictures).catch(showProblem);
  });
}

async function takeSample(pictures) {
  const response = await open("sample.jpg");
  await pictures.take([new File([await connected(response.blob())], "sample.jpg", { type: "image/jpeg" })]);
}

start().catch(showProblem);
