"use strict";
/**
 * Tells, in structured log lines, what each WebSocket of a `ws` server and each agent run on it came to.
 *
 *     const server = new WebSocketServer({ port });
 *     spillwayTelemetry(server); // before the service listens for "connection" itself
 *
 * The lines are those of docs/telemetry.md, as `pipeline/telemetry/asgi.py` writes them. One file, no dependency: copy it.
 * Whatever goes wrong in here is told on stderr, and never reaches the service.
 */
const { createHash, randomUUID } = require("node:crypto");
const http = require("node:http");
const https = require("node:https");

const VERSION = 2;
const FIVE_EVENTS = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"];
const MOST_PARSED = 1 << 20; // characters; a larger message asks for nothing and ends nothing
const RESTART = 1012;
const OPEN = 1; // readyState
const TICK_MS = 50;
const MOST_APART_MS = 100; // between two closes of a server that stops
const FEW_UNASKED = 10;
const DRAIN_ANNOTATION = "spillway.rollout/drain";
const DRAIN_EVERY_S = 15;
const BUSY_EVERY = 8; // so many times longer between two readings of an order, while users still come
const LONGEST_S = 120; // between two readings of an address that cannot be read
const OLDEST_MS = 10 * 60 * 1000; // of an order that is begun
const CLOCKS_AGREE_MS = 60 * 1000;
const LEAST_WINDOW_MS = 2000; // for who read the order late
const SPREAD = 2 / 3; // of the window; the rest is for the last runs
const READ_WITHIN_MS = 10 * 1000;
const MOST_BYTES = 512 * 1024; // of what holds an order
const MOST_REDIRECTS = 3;
const TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token";
// A word in which every encoder writes each character as itself: it must stand in a message that holds it.
const PLAIN = /^[A-Za-z0-9 _.:;,=+*@#!?()[\]{}$%^~|-]+$/;

/**
 * @param server a WebSocketServer.
 * @param options starts, expects, withinS, typeField: what a run is, where the environment does not say it or is wrong;
 *   stopOverS: seconds in which sockets are closed on SIGTERM, 0 for none; drainEveryS: how often a drain order is looked
 *   for, where SPILLWAY_DRAIN_URL says where (docs/telemetry.md); write(line); environ.
 * @returns refused(request, status), for a service that answers an upgrade itself with 5xx; stop(), which closes all
 *   sockets as on SIGTERM and resolves when they are.
 */
function spillwayTelemetry(server, options = {}) {
  const book = new Book(options);
  book.guarded(() => proveRevision(book, server));
  server.prependListener("connection", (socket, request) => book.guarded(() => new Watch(book, socket, request)));
  book.guarded(() => watchVerification(book, server));
  book.guarded(() => new Draining(book, options.environ || process.env, options.drainEveryS || DRAIN_EVERY_S).begin());
  const stop = () => book.stop();
  if (book.stopOverS > 0) {
    process.once("SIGTERM", () => {
      const isAlone = process.listenerCount("SIGTERM") === 0; // else who listens too decides when the process ends
      stop().then(() => isAlone && process.kill(process.pid, "SIGTERM"));
    });
  }
  return { stop, refused: (request, status) => book.guarded(() => book.refused(request, status)) };
}

/** What all sockets of a process share. */
class Book {
  constructor(options) {
    const environ = options.environ || process.env;
    this.write = options.write || ((line) => process.stdout.write(line + "\n"));
    this.stopOverS = options.stopOverS === undefined ? 7 : options.stopOverS;
    this.complaints = new Set();
    this.known = this.knownOf(environ.SPILLWAY_TELEMETRY, options);
    this.rule = this.read("SPILLWAY_CLIENT", environ.SPILLWAY_CLIENT, {}, isClientRule);
    this.nonce = environ.SPILLWAY_NONCE || "";
    this.salt = environ.SPILLWAY_SALT || environ.K_SERVICE || "";
    this.probeKey = sha256(`spillway probe ${this.nonce}`).slice(0, 32);
    this.revisionMark = sha256(`spillway revision ${this.nonce}`).slice(0, 32);
    this.origin = { spillway: VERSION, severity: "INFO", revision: environ.K_REVISION || "", nonce: this.nonce };
    if (environ.SPILLWAY_INSTANCE) this.origin.instance = environ.SPILLWAY_INSTANCE;
    this.open = new Set();
    this.newest = 0; // when the last socket of a user was accepted
    this.wasAsked = false;
    this.unasked = this.toldUnasked = 0;
  }

  knownOf(text, options) {
    const said = this.read("SPILLWAY_TELEMETRY", text, {}, isKnown);
    const told = {
      runs: said.runs && Object.keys(said.runs).length ? said.runs : { execute_agent: FIVE_EVENTS },
      start_field: said.start_field || "type",
      event_field: said.event_field || "type",
      within_s: said.within_s || 10,
    };
    if (said.framing && said.framing.name) {
      say(`frames of ${said.framing.name} are not read here, only plain JSON: their runs are not counted`);
    }
    const names = options.starts || Object.keys(told.runs);
    const known = {
      runs: Object.fromEntries(names.map((name) => [name, options.expects || told.runs[name] || FIVE_EVENTS])),
      start_field: options.typeField || told.start_field,
      event_field: options.typeField || told.event_field,
      within_s: options.withinS || told.within_s,
    };
    if (text && JSON.stringify(known) !== JSON.stringify(told)) {
      say(`the code says ${JSON.stringify(known)}, the deploy says ${JSON.stringify(told)}; the code's is used`);
    }
    return known;
  }

  read(name, text, otherwise, isRight) {
    if (!text) return otherwise;
    try {
      const value = JSON.parse(text);
      if (isRight(value)) return value;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    say(`${name} cannot be read; it is taken as not set`);
    return otherwise;
  }

  guarded(note) {
    try {
      return note();
    } catch (error) {
      const kind = error && error.name;
      if (!this.complaints.has(kind)) {
        this.complaints.add(kind);
        say(String(error));
      }
      return undefined;
    }
  }

  tell(event, at, fields, shared = {}) {
    const word = fields.outcome || fields.code || "";
    const message = `${event} ${word}`.trim();
    this.write(JSON.stringify({ ...this.origin, ...shared, message, at, event, ...fields }));
  }

  /** What the lines of one handshake share. */
  sharedOf(request) {
    const headers = request.headers;
    const client = sha256(`${this.salt}/${this.clientOf(headers, request.socket)}`).slice(0, 16);
    const shared = { session: randomUUID().replaceAll("-", ""), client };
    if (this.isProbe(headers)) shared.probe = true;
    return shared;
  }

  /** A probe that may be led to either of two revisions names both keys. */
  isProbe(headers) {
    const keys = (headers["x-spillway-probe"] || "").split(",");
    return keys.some((key) => key.trim() === this.probeKey);
  }

  clientOf(headers, peer) {
    const named = this.rule.header && headers[this.rule.header.toLowerCase()];
    if (named) return named;
    const entries = (headers["x-forwarded-for"] || "").split(",").map((each) => each.trim()).filter(Boolean);
    const fromEnd = Math.min(this.rule["forwarded-for"] || 1, entries.length);
    return entries.length ? entries[entries.length - fromEnd] : (peer && peer.remoteAddress) || "";
  }

  refused(request, status) {
    if (status >= 500) this.tell("ws_refused", now(), { status, path: pathOf(request) }, this.sharedOf(request));
  }

  leftUnasked() {
    this.unasked += 1;
    if (this.wasAsked || this.unasked < Math.max(FEW_UNASKED, 2 * this.toldUnasked)) return;
    const starts = Object.keys(this.known.runs);
    const fresh = this.unasked - this.toldUnasked;
    this.toldUnasked = this.unasked;
    say(
      `${this.unasked} sockets, none asked for ${starts.join(", ")} (in the field ${this.known.start_field}): their ` +
        "runs are not counted. Set starts, expects and typeField of spillwayTelemetry, or name them in a scenario",
    );
    this.tell("ws_unasked", now(), { sockets: fresh, starts });
  }

  /** Closes all sockets over some seconds, idle ones first; those whose runs do not end are closed at the end. */
  async stop() {
    const began = Date.now();
    const count = this.open.size;
    const overMs = Math.min(this.stopOverS * 1000, count * MOST_APART_MS);
    let closed = 0;
    for (let passed = 0; this.open.size && passed < this.stopOverS * 1000; passed = Date.now() - began) {
      const due = passed >= overMs ? count : 1 + Math.floor(((count - 1) * passed) / overMs);
      const idle = [...this.open].filter((watch) => !watch.isBusy);
      for (const watch of idle.slice(0, Math.max(0, due - closed))) {
        watch.restart();
        closed += 1;
      }
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
    for (const watch of [...this.open]) watch.restart();
    await new Promise((resolve) => setTimeout(resolve, TICK_MS)); // the last frames leave
  }
}

/** The lines of one WebSocket. */
class Watch {
  constructor(book, socket, request) {
    this.book = book;
    this.socket = socket;
    this.undecided = [];
    this.late = null; // a run past its deadline, told so, and not at its end
    this.runs = 0;
    this.isOver = this.wasIdle = false;
    this.whenIdle = null; // called each time that no run is under way any more
    this.accepted = now();
    this.shared = { ...book.sharedOf(request), accepted: this.accepted };
    book.open.add(this);
    if (!this.shared.probe) book.newest = this.accepted;
    this.tell("ws_accept", this.accepted, { path: pathOf(request) });
    this.idleTimer = this.later(() => this.idle());
    this.listen();
  }

  listen() {
    const { book, socket } = this;
    const { send, close, terminate } = socket;
    socket.on("message", (data) => book.guarded(() => this.received(data)));
    socket.on("close", (code, reason) =>
      book.guarded(() => this.ended(code, String(reason), code === 1006 ? "lost" : "client")),
    );
    socket.send = (data, ...more) => {
      const isOpen = socket.readyState === OPEN;
      const result = send.call(socket, data, ...more);
      if (isOpen && this.isBusy) book.guarded(() => this.sent(data));
      return result;
    };
    socket.close = (code, reason) => {
      // `ws` answers a client's close frame by calling this too.
      const isOurs = socket.readyState === OPEN && !socket._closeFrameReceived;
      const result = close.call(socket, code, reason);
      if (isOurs) book.guarded(() => this.ended(code === undefined ? 1005 : code, String(reason || ""), "server"));
      return result;
    };
    socket.terminate = () => {
      const isOurs = socket.readyState === OPEN && !socket._closeFrameReceived;
      if (isOurs) book.guarded(() => this.ended(1006, "", "server"));
      return terminate.call(socket);
    };
  }

  received(data) {
    const { known } = this.book;
    const start = wordIn(data, known.start_field, Object.keys(known.runs));
    if (start === undefined || this.isOver) return;
    const run = { number: ++this.runs, started: now(), missing: [...known.runs[start]], first: null };
    if (!this.shared.probe) this.book.wasAsked = true;
    this.undecided.push(run);
    this.late = null; // who asks again does not wait for it any more
    this.tell("agent_start", run.started, { run: run.number });
    run.timer = this.later(() => this.decide(run, "timeout"));
  }

  /** Of overlapping runs an event belongs to the oldest that still misses it. */
  sent(data) {
    for (const run of this.undecided) {
      const kind = wordIn(data, this.book.known.event_field, run.missing);
      if (kind === undefined) continue;
      if (run.first === null) run.first = now();
      run.missing.splice(run.missing.indexOf(kind), 1);
      if (!run.missing.length) this.decide(run, "ok");
      return;
    }
    const kind = this.late ? wordIn(data, this.book.known.event_field, this.late.missing) : undefined;
    if (kind === undefined) return;
    this.late.missing.splice(this.late.missing.indexOf(kind), 1);
    if (this.late.missing.length) return;
    this.late = null;
    this.tellIdle();
  }

  /** Whether a run is under way, be it late. */
  get isBusy() {
    return this.undecided.length > 0 || this.late !== null;
  }

  tellIdle() {
    if (this.whenIdle && !this.isBusy && !this.isOver) this.whenIdle();
  }

  decide(run, outcome) {
    if (!this.undecided.includes(run)) return;
    this.undecided.splice(this.undecided.indexOf(run), 1);
    clearTimeout(run.timer);
    const at = now();
    const first_event_ms = run.first === null ? null : (run.first - run.started) * 1000;
    const { number, started, missing } = run;
    const total_ms = (at - started) * 1000;
    this.tell("agent_run", at, { run: number, started, outcome, missing, first_event_ms, total_ms });
    if (outcome === "timeout") this.late = run;
    this.tellIdle();
  }

  idle() {
    if (this.runs || this.isOver) return;
    const fields = { run: 0, started: this.accepted, outcome: "idle", missing: [], first_event_ms: null };
    this.tell("agent_run", now(), fields);
    this.wasIdle = true;
    if (!this.shared.probe) this.book.leftUnasked();
  }

  ended(code, reason, closed_by) {
    if (this.isOver) return;
    this.isOver = true;
    this.book.open.delete(this);
    clearTimeout(this.idleTimer);
    for (const run of [...this.undecided]) this.decide(run, "closed");
    const at = now();
    this.tell("ws_close", at, { code, reason, closed_by, seconds: at - this.accepted, runs: this.runs });
    if (!this.runs && !this.wasIdle && !this.shared.probe) this.book.leftUnasked();
  }

  /** Closes it. The service hears no message after that: whoever asked too late can safely ask again. */
  restart(reason = "") {
    this.socket.close(RESTART, reason);
    this.socket.removeAllListeners("message");
  }

  tell(event, at, fields) {
    this.book.tell(event, at, fields, this.shared);
  }

  later(note) {
    return setTimeout(() => this.book.guarded(note), this.book.known.within_s * 1000).unref();
  }
}

/**
 * A revision that lost its traffic is asked to let its sockets go: as `pipeline/telemetry/draining.py` says and does it.
 * Nobody can address one instance from outside, so it asks.
 */
class Draining {
  constructor(book, environ, everyS) {
    this.book = book;
    this.everyS = everyS;
    this.url = environ.SPILLWAY_DRAIN_URL || "";
    this.revision = environ.K_REVISION || "";
    this.metadata = environ.GCE_METADATA_HOST || "metadata.google.internal";
    this.token = { text: "", until: 0 };
    this.order = null;
    this.failures = this.cut = 0;
    this.asked = now();
    this.timer = null;
  }

  begin() {
    if (!this.url || !this.revision) return;
    const pauseS = Math.min(this.everyS * 2 ** Math.min(this.failures, 20), Math.max(LONGEST_S, this.everyS));
    setTimeout(() => this.ask().finally(() => this.begin()), pauseS * 1000).unref();
  }

  async ask() {
    const { book, everyS } = this;
    const isQuiet = now() - book.newest >= everyS;
    if (!book.open.size || !(isQuiet || this.order || now() - this.asked >= BUSY_EVERY * everyS)) return;
    this.asked = now();
    try {
      const order = await this.read();
      this.failures = 0;
      book.guarded(() => this.take(order));
    } catch (error) {
      this.failures += 1;
      book.guarded(() => {
        throw new OrderUnread(`${hostOf(this.url)}: ${error}`);
      });
    }
  }

  /** The order, null where there is none. Only Google's own addresses get the account's token, and lead nowhere with it. */
  async read() {
    const giveUp = Date.now() + READ_WITHIN_MS;
    let url = new URL(this.url);
    const headers = isGoogles(url) ? { Authorization: `Bearer ${await this.freshToken(giveUp)}` } : null;
    for (let hop = 0; hop <= MOST_REDIRECTS; hop += 1) {
      const { status, body, location } = await get(url, headers || {}, giveUp);
      if (status === 200) return orderIn(body);
      if (status === 204 || status === 404) return null;
      if (![301, 302, 303, 307, 308].includes(status) || !location || headers) throw new Error(`answered ${status}`);
      url = new URL(location, url);
    }
    throw new Error(`more than ${MOST_REDIRECTS} redirects`);
  }

  async freshToken(giveUp) {
    if (now() >= this.token.until) {
      const asked = await get(new URL(`http://${this.metadata}${TOKEN_PATH}`), { "Metadata-Flavor": "Google" }, giveUp);
      if (asked.status !== 200) throw new Error(`the metadata server answered ${asked.status} when asked for a token`);
      const said = JSON.parse(asked.body);
      this.token = { text: said.access_token, until: now() + said.expires_in - 60 };
    }
    return this.token.text;
  }

  take(order) {
    const isSame = order && this.order && order.at === this.order.at && order.withinMs === this.order.withinMs;
    let ours = order && order.revision === this.revision ? order : null;
    if (ours === this.order || (ours && isSame)) return;
    const age = ours ? Date.now() - ours.at : 0;
    if (age > OLDEST_MS || age < -CLOCKS_AGREE_MS) ours = null;
    this.order = ours;
    clearInterval(this.timer);
    for (const watch of this.book.open) watch.whenIdle = null;
    if (ours) this.drain(ours);
  }

  drain(order) {
    const { book } = this;
    const began = Date.now();
    const count = book.open.size;
    const windowMs = Math.max(LEAST_WINDOW_MS, order.at + order.withinMs - began);
    say(`asked to drain: ${count} sockets within ${Math.round(windowMs / 1000)}s`);
    const step = () => {
      const passed = Date.now() - began;
      if (book.open.size && passed < windowMs) {
        this.letStay(Math.floor(count * (1 - passed / (SPREAD * windowMs))));
        return;
      }
      clearInterval(this.timer);
      for (const watch of [...book.open]) this.close(watch);
      say(`drained: ${this.cut} sockets were closed in the middle of a run`);
    };
    this.timer = setInterval(() => book.guarded(step), MOST_APART_MS).unref();
  }

  /** Of those that were not told to go yet, the idle ones go first. */
  letStay(most) {
    const staying = [...this.book.open].filter((watch) => !watch.whenIdle);
    const tooMany = Math.max(0, staying.length - Math.max(0, most));
    const [idle, busy] = [staying.filter((w) => !w.isBusy), staying.filter((w) => w.isBusy)];
    for (const watch of [...idle, ...busy].slice(0, tooMany)) {
      watch.whenIdle = () => this.close(watch);
      if (!watch.isBusy) this.close(watch);
    }
  }

  close(watch) {
    if (watch.isBusy) this.cut += 1;
    watch.restart(`retry-after=${1 + Math.floor(Math.random() * 5)}`);
  }
}

class OrderUnread extends Error {
  constructor(words) {
    super(words);
    this.name = "OrderUnread";
  }
}

/** One GET, over at a moment whatever the other side does: status, body (of so many bytes at most), location. */
function get(url, headers, giveUp) {
  const client = { "http:": http, "https:": https }[url.protocol];
  if (!client) return Promise.reject(new Error("is no http or https address"));
  return new Promise((resolve, reject) => {
    const asked = client.get(url, { headers, agent: false }, (answer) => {
      const parts = [];
      let size = 0;
      answer.on("data", (part) => {
        parts.push(part);
        size += part.length;
        if (size > MOST_BYTES) asked.destroy(new Error(`more than ${MOST_BYTES} bytes`));
      });
      answer.on("error", reject);
      answer.on("aborted", () => reject(new Error("broke off")));
      answer.on("end", () =>
        resolve({ status: answer.statusCode, body: String(Buffer.concat(parts)), location: answer.headers.location }),
      );
    });
    asked.on("error", reject);
    const ending = setTimeout(() => asked.destroy(new Error("too slow")), Math.max(1, giveUp - Date.now())).unref();
    asked.on("socket", (socket) => socket.unref()); // a process that ends waits for no order
    asked.on("close", () => clearTimeout(ending));
  });
}

/** The order in a document: by itself, or in the annotation of a service's resource. */
function orderIn(body) {
  const said = JSON.parse(body);
  if (!isObject(said)) throw new Error("not a JSON object");
  if ("revision" in said) return orderOf(said);
  const annotations = said.annotations === undefined ? {} : said.annotations;
  if (!isObject(annotations)) throw new Error("annotations: not an object");
  const text = annotations[DRAIN_ANNOTATION];
  return text ? orderOf(JSON.parse(text)) : null;
}

function orderOf(said) {
  const { revision, at, within_s } = isObject(said) ? said : {};
  const moment = typeof at === "string" && /(?:Z|[+-]\d\d:?\d\d)$/.test(at) ? Date.parse(at) : NaN;
  if (!isWord(revision)) throw new Error("revision: not a name");
  if (Number.isNaN(moment)) throw new Error("at: no time with its zone");
  if (!Number.isFinite(within_s) || within_s <= 0 || within_s > 86400) {
    throw new Error("within_s: not a number of seconds of at most a day");
  }
  return { revision, at: moment, withinMs: within_s * 1000 };
}

function isGoogles(url) {
  return url.protocol === "https:" && url.port === "" && url.hostname.endsWith(".googleapis.com");
}

/** Without its path, which may hold a key. */
function hostOf(url) {
  try {
    return new URL(url).hostname;
  } catch {
    return "the address";
  }
}

/** Which revision answered, told to a probe that knows it and to nobody else; of plain HTTP where the server is given. */
function proveRevision(book, server) {
  const isAsked = (request) => book.nonce && book.guarded(() => book.isProbe(request.headers));
  server.on("headers", (headers, request) => {
    if (isAsked(request)) headers.push(`X-Spillway-Revision: ${book.revisionMark}`);
  });
  const http = server.options && server.options.server;
  if (!http) return;
  http.prependListener("request", (request, response) => {
    if (isAsked(request)) response.setHeader("X-Spillway-Revision", book.revisionMark);
  });
}

/** A `verifyClient` that answers later may answer 5xx. */
function watchVerification(book, server) {
  const verify = server.options && server.options.verifyClient;
  if (typeof verify !== "function" || verify.length !== 2) return;
  server.options.verifyClient = (info, answer) =>
    verify(info, (isVerified, code, ...more) => {
      if (!isVerified) book.guarded(() => book.refused(info.req, code));
      return answer(isVerified, code, ...more);
    });
}

/** Which of the words stands in the field of the message's JSON object; most messages need no parsing for that. */
function wordIn(data, path, words) {
  const text = Array.isArray(data) ? Buffer.concat(data) : data;
  if ((text.byteLength ?? text.length) > MOST_PARSED) return undefined;
  const said = typeof text === "string" ? text : bytesOf(text).toString();
  if (!words.some((word) => !PLAIN.test(word) || said.includes(word))) return undefined;
  let value;
  try {
    value = JSON.parse(said);
  } catch {
    return undefined;
  }
  for (const key of path.split(".")) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return typeof value === "string" && words.includes(value) ? value : undefined;
}

/** The bytes under a view of any kind: one of two bytes each is copied item by item by `Buffer.from`. */
function bytesOf(data) {
  return ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data);
}

function isWord(value) {
  return typeof value === "string" && value !== "";
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function isKnown(value) {
  const { runs = {}, start_field = "type", event_field = "type", within_s = 10 } = isObject(value) ? value : { runs: 0 };
  const areRuns = isObject(runs) && Object.values(runs).every((events) => Array.isArray(events) && events.every(isWord));
  return areRuns && isWord(start_field) && isWord(event_field) && Number.isFinite(within_s) && within_s > 0;
}

function isClientRule(value) {
  const count = isObject(value) ? value["forwarded-for"] : undefined;
  return isObject(value) && (isWord(value.header) || (Number.isInteger(count) && count > 0));
}

function pathOf(request) {
  return (request.url || "").split("?")[0];
}

function now() {
  return Date.now() / 1000;
}

function sha256(text) {
  return createHash("sha256").update(text).digest("hex");
}

function say(words) {
  try {
    process.stderr.write(`spillway telemetry: ${words}\n`);
  } catch {
    // there is nobody else to tell
  }
}

module.exports = { spillwayTelemetry };
