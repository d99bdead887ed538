// Server-sent events of a film, read by fetch rather than EventSource, which cannot send a token.

import { connected, open } from "./service.js";

// Yields { name, data } until the service ends the stream or the signal aborts it.
export async function* eventsOf(url, signal) {
  const response = await open(url, { signal, headers: { accept: "text/event-stream" } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const read = () => connected(reader.read());
  for (let { value, done } = await read(); !done; { value, done } = await read()) {
    const blocks = (text + value).split(/\r?\n\r?\n/);
    text = blocks.pop();
    for (const block of blocks) {
      const found = parsed(block);
      if (found) yield found;
    }
  }
}

// An event without data, as a comment that keeps the connection open, is none.
export function parsed(block) {
  const lines = block.split(/\r?\n/);
  const valueOf = (field) =>
    lines
      .filter((line) => line.startsWith(`${field}:`))
      .map((line) => line.slice(field.length + 1).replace(/^ /, ""));
  const data = valueOf("data").join("\n");
  return data ? { name: valueOf("event")[0] ?? "message", data: JSON.parse(data) } : null;
}
