// Requests to the service. Its problems (RFC 9457) become errors with their own sentence.

export class ServiceProblem extends Error {}

const NO_ANSWER = "The service does not answer. Is it still running? Then try again.";
const UNAUTHORISED = 401;
let token = "";

// A service that was started with a token answers only requests that carry it. Kept until the page is closed.
export const setToken = (value) => {
  token = value;
};

export const needsToken = (error) => error instanceof ServiceProblem && error.status === UNAUTHORISED;

export async function loadModels() {
  return connected((await open("v1/models")).json());
}

// Rows in the order of the files; a picture that cannot be read is a row with an error.
export async function predict(files, { model, coverage, attributes }) {
  const fields = { model, attributes, ...(coverage ? { coverage } : {}) };
  const answer = await send("v1/predict", { fields, files: files.map((file) => ["pictures", file]) });
  return answer.predictions;
}

// A signal that aborts has the service give the explanation up.
export const explain = (file, { model, emotions, signal }) =>
  send("v1/explain", { fields: { model, emotion: emotions }, files: [["picture", file]], signal });

export const startFilm = (file, { model }) => send("v1/film", { fields: { model }, files: [["film", file]] });

export const deleteFilm = (links) => open(links.self, { method: "DELETE", keepalive: true });

// What is still to come over the network. Browsers word a broken connection each in its own way, and none states
// what to do. Raises `ServiceProblem`.
export async function connected(coming) {
  try {
    return await coming;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceProblem(NO_ANSWER);
  }
}

// A response with a status of success. Raises `ServiceProblem`.
export async function open(url, options = {}) {
  const headers = { ...options.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
  const response = await connected(fetch(url, { ...options, headers }));
  if (response.ok) return response;
  const plain = await response.json().catch(() => ({}));
  const text = plain.detail || plain.title || `The service answered with status ${response.status}.`;
  throw Object.assign(new ServiceProblem(text), { status: response.status });
}

async function send(url, { fields, files, signal }) {
  const body = new FormData();
  for (const [name, values] of Object.entries(fields)) {
    for (const value of [values].flat()) body.append(name, value);
  }
  for (const [name, file] of files) body.append(name, file, file.name);
  const response = await open(url, { method: "POST", body, signal });
  return connected(response.json());
}
