// What the reader does: filters, zoom, time, going from record to record.

const $ = (id) => document.getElementById(id);
const story = JSON.parse($("story").textContent);
const { records } = story;
const endNs = records.at(-1)?.atNs ?? 0;

/** By record: the violations that name it. */
const accused = new Map();
for (const violation of story.violations) {
  if (violation.seq < records.length) accused.set(violation.seq, [...(accused.get(violation.seq) ?? []), violation]);
}
const seqsOf = (wanted) => records.flatMap(({ kind }, seq) => (kind === wanted ? [seq] : []));
/** The verdicts, in the order of the violations. */
const verdicts = seqsOf("verdict");
/** Where `v` and `f` stop. */
const stops = {
  violation: [...accused.values()].flat().sort((a, b) => a.seq - b.seq),
  fault: seqsOf("fault").map((seq) => ({ seq })),
};

const state = {
  hidden: new Set(), // nodes and kinds
  text: "",
  range: [0, endNs],
  scale: "order",
  zoom: 1,
  open: new Set(), // quiet records of runs that were opened
  chosen: null,
  stop: { violation: 0, fault: 0 }, // where `v` and `f` were last
};
let rows = [];

function refresh() {
  const text = state.text.toLowerCase();
  const isIn = ({ says, body }) => says.toLowerCase().includes(text) || body.toLowerCase().includes(text);
  const shows = (record) =>
    !state.hidden.has(`node ${record.node}`) &&
    !state.hidden.has(`kind ${record.kind}`) &&
    record.atNs >= state.range[0] &&
    record.atNs <= state.range[1] &&
    (text === "" || isIn(record));
  const isOpen = (seq) => !$("collapse").checked || text !== "" || accused.has(seq) || state.open.has(seq);
  rows = rowsOf(records, shows, isOpen);
  const placed = place(rows, state.scale, state.zoom, ...state.range);
  drawDiagram($("diagram"), story, rows, placed, accused);
  drawOverview($("overview"), story, endNs, accused, state.range);
  const drawn = rows.reduce((sum, row) => sum + row.seqs.length, 0);
  $("count").textContent = drawn === records.length ? `${drawn} records` : `${drawn} of ${records.length} records`;
  $("whole").hidden = state.range[0] === 0 && state.range[1] === endNs;
  Object.assign(document.documentElement.dataset, { records: records.length, drawn });
  mark();
  follow();
}

/** Redraws, and keeps what lies at `y` of the view there. */
function refreshAround(change, y = $("scroll").clientHeight / 2) {
  const view = $("scroll");
  const anchor = rows[Math.max(firstFrom(rows, (row) => row.y > view.scrollTop + y) - 1, 0)];
  const offset = anchor ? anchor.y - view.scrollTop : 0;
  change();
  refresh();
  const again = anchor && rows[firstFrom(rows, (row) => row.seqs.at(-1) >= anchor.seqs[0])];
  if (again) view.scrollTop = again.y - offset;
}

// --- going to a record

const rowWith = (seq) => rows.find((row) => row.seqs.includes(seq));

/** Shows a record, whatever the filters say, and what it holds. */
function choose(seq, isFar = true) {
  if (!(seq >= 0 && seq < records.length)) return;
  state.chosen = seq;
  for (const [name, all] of Object.entries(stops)) {
    const stop = all.findIndex((one) => one.seq === seq);
    if (stop >= 0 && all[state.stop[name]].seq !== seq) state.stop[name] = stop;
  }
  if (!rowWith(seq)) clearFilters();
  const row = rowWith(seq);
  if (row.seqs.length > 1) refreshAround(() => row.seqs.forEach((one) => state.open.add(one)));
  const view = $("scroll");
  tell(seq);
  mark();
  const y = rowWith(seq).y - view.scrollTop;
  if (isFar || y < 60 || y > view.clientHeight - 40) view.scrollTop += y - view.clientHeight / 2;
  history.replaceState(null, "", `#r${seq}`);
}

function clearFilters() {
  Object.assign(state, { hidden: new Set(), text: "", range: [0, endNs] });
  $("text").value = "";
  for (const box of document.querySelectorAll("fieldset input")) box.checked = true;
  refresh();
}

/** Goes to the next or previous violation or fault, around the ends. */
function step(what, by) {
  const all = stops[what];
  if (all.length === 0) return;
  const here = state.chosen ?? -1;
  let next = state.stop[what] + by;
  if (all[state.stop[what]].seq !== here) {
    const after = firstFrom(all, ({ seq }) => seq > here);
    next = by > 0 ? after : after - 1;
  }
  state.stop[what] = (next + all.length) % all.length;
  choose(all[state.stop[what]].seq);
}

function stepRow(by) {
  const here = rows.findIndex((row) => row.seqs.includes(state.chosen));
  const row = here < 0 ? rows[firstFrom(rows, ({ y }) => y >= $("scroll").scrollTop)] : rows[here + by];
  if (row) choose(row.seqs[0], false);
}

/** Shows what is chosen in the diagram. */
function mark() {
  for (const old of document.querySelectorAll(".chosen-row, .flow.chosen")) {
    old.classList.remove("chosen-row", "chosen");
    old.removeAttribute("aria-selected");
    if (old.hasAttribute("marker-end")) old.setAttribute("marker-end", "url(#head)");
  }
  for (const [name, all] of Object.entries(stops)) {
    const isHere = all[state.stop[name]]?.seq === state.chosen;
    const total = `${all.length} ${name}${all.length === 1 ? "" : "s"}`;
    $(`${name}-steps`).querySelector("output").textContent = isHere ? `${state.stop[name] + 1} of ${total}` : total;
  }
  for (const link of document.querySelectorAll("#findings a")) {
    link.classList.toggle("here", link.hash === `#r${state.chosen}`);
  }
  const row = state.chosen === null ? null : rowWith(state.chosen);
  if (!row) return $("diagram").removeAttribute("aria-activedescendant");
  const group = $(`row${row.seqs[0]}`);
  group.classList.add("chosen-row");
  group.setAttribute("aria-selected", "true");
  $("diagram").setAttribute("aria-activedescendant", group.id);
  for (const flow of document.querySelectorAll(".flow")) {
    if (!flow.dataset.ends.split(" ").includes(String(state.chosen))) continue;
    flow.classList.add("chosen");
    flow.setAttribute("marker-end", "url(#head-chosen)");
  }
}

// --- what a record holds

function element(name, attributes, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

function tell(seq) {
  const { node, kind, atNs, body, says } = records[seq];
  const close = element("button", { type: "button", title: "close (esc)", onclick: hide }, "×");
  const link = (end) =>
    typeof end === "number"
      ? element("a", { href: `#r${end}` }, `#${end} ${records[end].node} ${records[end].kind}`)
      : `${end}, not told when`;
  const relations = story.flows.flatMap(([from, to]) => {
    if (from === seq) return [element("li", {}, "to ", link(to))];
    return to === seq ? [element("li", {}, "from ", link(from))] : [];
  });
  const verdict = story.violations[verdicts.indexOf(seq)];
  if (verdict && records[verdict.seq]) relations.push(element("li", {}, "names ", link(verdict.seq)));
  const rules = (accused.get(seq) ?? []).map(({ rule, message }) =>
    element("p", { className: "rule" }, element("b", {}, rule), ` ${message}`),
  );
  $("detail").replaceChildren(
    element("h2", {}, `#${seq} ${node} `, element("span", { className: `kind k-${kind}` }, kind), close),
    element("p", { className: "time" }, `${seconds(atNs, 9)} s`),
    ...rules,
    element("p", {}, says),
    element("ul", {}, ...relations),
    element("pre", { tabIndex: 0 }, ...pretty(body)),
  );
  $("detail").hidden = false;
}

function hide() {
  $("detail").hidden = true;
  state.chosen = null;
  mark();
  history.replaceState(null, "", location.pathname + location.search);
}

/** JSON on several lines, every character of its values as it is: numbers may be too great for a script. */
function pretty(json) {
  const parts = [];
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  const tokens = json.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  tokens.forEach((token, place) => {
    const next = tokens[place + 1];
    if (token === "{" || token === "[") {
      depth += 1;
      parts.push(token, next === "}" || next === "]" ? "" : line());
    } else if (token === "}" || token === "]") {
      depth -= 1;
      const before = tokens[place - 1];
      parts.push(before === "{" || before === "[" ? "" : line(), token);
    } else if (token === ",") {
      parts.push(token, line());
    } else if (token === ":") {
      parts.push(": ");
    } else {
      const name = next === ":" ? "key" : token[0] === '"' ? "string" : "number";
      parts.push(element("span", { className: name }, token));
    }
  });
  return parts;
}

// --- the tools

function boxes(fieldset, what, names) {
  for (const name of names) {
    const box = element("input", { type: "checkbox", checked: true });
    box.onchange = () => {
      refreshAround(() => (box.checked ? state.hidden.delete(`${what} ${name}`) : state.hidden.add(`${what} ${name}`)));
    };
    const label = element("label", {}, box);
    const size = { width: 16, height: 16, viewBox: "-8 -8 16 16" };
    if (what === "kind") label.append(draw("svg", size, glyph(name, 0, 0)));
    label.append(name);
    fieldset.append(label);
  }
}

function zoom(by, y) {
  refreshAround(() => (state.zoom = Math.min(Math.max(state.zoom * by, 0.5), 8)), y);
}

function setScale(scale) {
  $("scale").value = scale;
  refreshAround(() => (state.scale = scale));
}

/** Shows in the overview what part is in view. */
function follow() {
  const view = $("scroll");
  const at = (y) => rows[Math.min(firstFrom(rows, (row) => row.y >= y), rows.length - 1)]?.at ?? 0;
  const [from, to] = [at(view.scrollTop), at(view.scrollTop + view.clientHeight)];
  const { clientHeight: height } = $("overview");
  const window = $("overview").querySelector(".window");
  window.setAttribute("y", (from / Math.max(endNs, 1)) * height);
  window.setAttribute("height", Math.max(((to - from) / Math.max(endNs, 1)) * height, 3));
}

/** A click in the overview goes there; a drag chooses a part of the time. */
function watchOverview() {
  const timeAt = (event) => {
    const { top, height } = $("overview").getBoundingClientRect();
    return Math.round(Math.min(Math.max((event.clientY - top) / height, 0), 1) * endNs);
  };
  let from = null;
  $("overview").onpointerdown = (event) => {
    from = event;
    $("overview").setPointerCapture(event.pointerId);
  };
  $("overview").onpointerup = (event) => {
    if (!from) return;
    const [a, b] = [timeAt(from), timeAt(event)].sort((x, y) => x - y);
    if (Math.abs(event.clientY - from.clientY) > 4) refreshAround(() => (state.range = [a, b]));
    else $("scroll").scrollTop = yOf(rows, a) - $("scroll").clientHeight / 2;
    from = null;
  };
}

const KEYS = {
  j: () => stepRow(1),
  k: () => stepRow(-1),
  v: () => step("violation", 1),
  V: () => step("violation", -1),
  f: () => step("fault", 1),
  F: () => step("fault", -1),
  t: () => setScale(state.scale === "order" ? "time" : "order"),
  "+": () => zoom(1.25),
  "-": () => zoom(0.8),
  "/": () => $("text").focus(),
  Escape: hide,
};

function listen() {
  document.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/INPUT|SELECT/.test(event.target.tagName) && event.target.type !== "checkbox") {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const inDiagram = event.target === $("diagram") && { ArrowDown: KEYS.j, ArrowUp: KEYS.k };
    const act = KEYS[event.key] ?? (inDiagram && inDiagram[event.key]);
    if (!act) return;
    event.preventDefault();
    act();
  };
  $("tools").onsubmit = (event) => event.preventDefault();
  for (const button of document.querySelectorAll("[data-step]")) {
    button.disabled = stops[button.dataset.step].length === 0;
    button.onclick = () => step(button.dataset.step, Number(button.dataset.by));
  }
  $("wider").onclick = () => zoom(1.25);
  $("closer").onclick = () => zoom(0.8);
  $("scale").onchange = () => setScale($("scale").value);
  let typing;
  $("text").oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(() => refreshAround(() => (state.text = $("text").value)), 150);
  };
  $("collapse").onchange = () => refreshAround(() => state.open.clear());
  $("whole").onclick = () => refreshAround(() => (state.range = [0, endNs]));
  $("diagram").onclick = (event) => {
    const group = event.target.closest(".row");
    if (group) choose(Number(group.id.slice("row".length)), false);
  };
  $("scroll").onscroll = follow;
  $("scroll").addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      zoom(event.deltaY < 0 ? 1.25 : 0.8, event.clientY - $("scroll").getBoundingClientRect().top);
    },
    { passive: false },
  );
  window.onhashchange = goToHash;
  window.onresize = refresh;
  watchOverview();
}

function goToHash() {
  const place = /^#r(\d+)$/.exec(location.hash);
  if (place) choose(Number(place[1]));
}

function laneNames() {
  for (const node of story.lanes) {
    const name = element("span", {}, node);
    name.style.left = `${middleOf(story, node)}px`;
    $("lanes").append(name);
  }
}

laneNames();
boxes($("nodes"), "node", story.lanes);
boxes($("kinds"), "kind", Object.keys(GLYPHS).filter((kind) => records.some((record) => record.kind === kind)));
listen();
refresh();
goToHash();
document.documentElement.dataset.ready = "true";
