// Where files come from besides the fields that choose them: dropped anywhere on the page, or pasted.

export function takeDrops(onFiles) {
  const mark = (isOver) => document.body.classList.toggle("over", isOver);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) mark(false);
  });
  // Anywhere: else the browser would leave the page for what was dropped next to its field.
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    if (event.dataTransfer.files.length) onFiles([...event.dataTransfer.files]);
  });
}

export function takePastes(onFiles) {
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) onFiles([...event.clipboardData.files]);
  });
}
