// Which view is shown, by the hash of the address. Films and the game are loaded when they are first shown.

import { byId, showProblem } from "./dom.js";

const LOST = "This view could not be loaded. Is the service still running? Then reload the page.";
const NAMES = ["pictures", "film", "game"];
const LATER = {
  film: async (context) => new (await loaded(import("./film.js"))).FilmView(context),
  game: async (context) => new (await loaded(import("./game.js"))).GameView(context),
};

// Browsers do not try again to load a script that was lost, until the page is loaded anew.
function loaded(script) {
  return script.catch(() => {
    throw new Error(LOST);
  });
}

export class Views {
  // Every view takes files by `take(files)`.
  constructor(context, pictures) {
    this.context = context;
    this.opened = new Map([["pictures", pictures]]);
    this.links = byId("views");
    this.links.hidden = false;
  }

  // The view that is shown; undefined while it is loaded.
  get current() {
    return this.opened.get(this.shown);
  }

  async show() {
    const named = location.hash.slice(1);
    // A link within a view leaves it as it is.
    if (named && !NAMES.includes(named) && this.shown) return;
    this.shown = NAMES.includes(named) ? named : NAMES[0];
    showProblem(null); // that of the view that is left
    for (const each of NAMES) byId(each).hidden = each !== this.shown;
    for (const link of this.links.children) {
      if (link.hash === `#${this.shown}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    await this.load(this.shown);
  }

  async load(name) {
    if (this.opened.has(name)) return;
    this.opened.set(name, undefined);
    try {
      this.opened.set(name, await LATER[name](this.context));
    } catch (error) {
      this.opened.delete(name); // so that it is reported whenever the view is shown
      throw error;
    }
  }
}
