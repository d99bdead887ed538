// Fades between each picture and its map; without this script the map is shown.
"use strict";
for (const slider of document.querySelectorAll(".fade input")) {
  slider.addEventListener("input", () => {
    slider.closest("figure").querySelector(".map").style.opacity = slider.value;
  });
}
