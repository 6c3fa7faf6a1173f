// Draws rows, lanes, messages and the overview as SVG. All text comes in as text nodes.

const GUTTER = 66; // room for the time, left of the lanes
const LANE = 80;
const SVG = "http://www.w3.org/2000/svg";

/** A new SVG element. */
function draw(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** What marks a kind on its lane, around 0,0. */
const GLYPHS = {
  process: "M-5-5H5V5H-5Z",
  input: "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0-8,0Z",
  output: "M0-5.5L5.5,0L0,5.5L-5.5,0Z",
  commit: "M-6-1.5H6V1.5H-6Z",
  release: "M-4-4.5L5,0L-4,4.5Z",
  link: "M-5-2H-1V-5H1V-2H5V2H1V5H-1V2H-5Z",
  sent: "M-3.5,0a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0-7,0Z",
  received: "M-3.5,0a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0-7,0Z",
  fault: "M1-8L-5,1H-1L-2,8L5-2H1Z",
  verdict: "M-3-7H3L7-3V3L3,7H-3L-7,3V-3Z",
  alarm: "M0-7L7,6H-7Z",
};

function glyph(kind, x, y) {
  const d = GLYPHS[kind] ?? GLYPHS.process;
  return draw("path", { class: `glyph k-${kind}`, d, transform: `translate(${x},${y})` });
}

const middleOf = (story, node) => GUTTER + LANE * (story.lanes.indexOf(node) + 0.5);

/** Draws everything into `svg`. `accused` are the records that violations name. */
function drawDiagram(svg, story, rows, placed, accused) {
  const width = GUTTER + LANE * story.lanes.length;
  svg.setAttribute("height", Math.ceil(placed.total));
  svg.setAttribute("width", width + 1100);
  const rowOf = new Map();
  for (const row of rows) for (const seq of row.seqs) rowOf.set(seq, row);
  svg.replaceChildren(
    arrowHeads(),
    drawLanes(story, rows, placed),
    draw("g", { class: "pauses" }, ...placed.pauses.map(({ y, ns }) => pause(y, ns, width))),
    draw("g", { class: "flows" }, ...drawFlows(story, rowOf)),
    draw("g", { class: "rows" }, ...drawRows(story, rows, placed.height, width, accused)),
  );
}

function arrowHeads() {
  const head = (id) =>
    draw(
      "marker",
      { id, viewBox: "0 0 8 8", refX: 10, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
      draw("path", { d: "M0,0.5L8,4L0,7.5Z" }),
    );
  return draw("defs", {}, head("head"), head("head-chosen"));
}

function drawLanes(story, rows, placed) {
  const lanes = draw("g", { class: "lanes" });
  for (const node of story.lanes) {
    const x = middleOf(story, node);
    lanes.append(draw("line", { class: "lane", "data-node": node, x1: x, x2: x, y1: 0, y2: placed.total }));
  }
  for (const { node, fromNs, toNs, what } of story.spans) {
    if (!story.lanes.includes(node)) continue;
    const x = middleOf(story, node) - 9;
    const y = yOf(rows, fromNs);
    const height = Math.max(yOf(rows, toNs) - y, 2);
    const kind = what === "down" || what === "starting" ? what : "impaired";
    const box = { class: `span ${kind}`, x, y, width: 18, height, rx: 3 };
    lanes.append(draw("rect", box, draw("title", {}, `${node}: ${what} for ${seconds(toNs - fromNs, 3)} s`)));
  }
  return lanes;
}

function pause(y, ns, width) {
  return draw(
    "g",
    { class: "pause" },
    draw("line", { x1: GUTTER, x2: width, y1: y, y2: y }),
    draw("text", { x: GUTTER - 8, y: y + 4 }, `+${seconds(ns, 1)} s`),
  );
}

/** Messages of which at least one end is a row of its own, so that runs stay calm. */
function drawFlows(story, rowOf) {
  const drawn = [];
  const at = (end) => {
    const row = typeof end === "number" ? rowOf.get(end) : undefined;
    return row && row.seqs.length === 1 ? row : undefined;
  };
  for (const [from, to] of story.flows) {
    const [a, b] = [at(from), at(to)];
    const isWhole = typeof from === "number" && typeof to === "number";
    if (!(isWhole ? a && b : a || b)) continue;
    const node = (end) => (typeof end === "number" ? story.records[end].node : end);
    if (!story.lanes.includes(node(from)) || !story.lanes.includes(node(to))) continue;
    const [x1, x2] = [middleOf(story, node(from)), middleOf(story, node(to))];
    const [y1, y2] = [(a ?? b).y, (b ?? a).y];
    const line = { class: isWhole ? "flow" : "flow open", x1, x2, y1, y2, "marker-end": "url(#head)" };
    drawn.push(draw("line", { ...line, "data-ends": `${from} ${to}` }));
  }
  return drawn;
}

function drawRows(story, rows, height, width, accused) {
  const told = rowsWithRoom(story, rows, accused);
  let lastTime = "";
  return rows.map((row) => {
    const first = story.records[row.seqs[0]];
    const isRun = row.seqs.length > 1;
    const classes = ["row", `k-${first.kind}`];
    if (isRun) classes.push("run");
    else if (first.quiet) classes.push("quiet");
    if (row.seqs.some((seq) => accused.has(seq))) classes.push("accused");
    const group = draw("g", {
      id: `row${row.seqs[0]}`,
      class: classes.join(" "),
      role: "option",
      "data-count": row.seqs.length,
      transform: `translate(0,${row.y})`,
    });
    group.append(draw("rect", { class: "hit", y: -height / 2, width: "100%", height }));
    const hasRoom = told.has(row);
    const time = seconds(row.at, 3);
    if (hasRoom && time !== lastTime) {
      group.append(draw("text", { class: "time", x: GUTTER - 8, y: 4 }, time));
      lastTime = time;
    }
    if (isRun) {
      group.append(...drawRun(story, row));
    } else {
      group.append(glyph(first.kind, middleOf(story, first.node), 0));
    }
    if (hasRoom) group.append(words(story, row, width, accused));
    return group;
  });
}

/** The rows that have words. To scale they would lie upon each other: some are glyphs only, until clicked. */
function rowsWithRoom(story, rows, accused) {
  const matters = ({ seqs }) =>
    seqs.length === 1 && (accused.has(seqs[0]) || ["fault", "process", "alarm"].includes(story.records[seqs[0]].kind));
  const told = new Set();
  for (const wanted of [matters, () => true]) {
    let above = -Infinity; // the last row with words, and all that come
    const below = rows.filter((row) => told.has(row));
    for (const row of rows) {
      while (below.length && below[0].y <= row.y) above = below.shift().y;
      if (told.has(row) || !wanted(row)) continue;
      if (row.y - above < ROW - 4 || (below.length && below[0].y - row.y < ROW - 4)) continue;
      told.add(row);
      above = row.y;
    }
  }
  return told;
}

/** How many of a run's records lie on each lane. */
function drawRun(story, row) {
  const counts = count(row.seqs.map((seq) => story.records[seq].node));
  return [...counts].flatMap(([node, times]) => {
    const x = middleOf(story, node);
    return [
      draw("rect", { class: "many", x: x - 11, y: -6.5, width: 22, height: 13, rx: 6.5 }),
      draw("text", { class: "many", x, y: 3.5 }, String(times)),
    ];
  });
}

function words(story, row, width, accused) {
  const said = draw("text", { class: "says", x: width + 6, y: 4 });
  const part = (name, text) => said.append(draw("tspan", { class: name }, `${text} `));
  const first = story.records[row.seqs[0]];
  if (row.seqs.length > 1) {
    const kinds = count(row.seqs.map((seq) => kindOf(story.records[seq])));
    part("who", [...kinds].map(([kind, times]) => `${times} ${kind}`).join(", "));
    return said;
  }
  const rules = new Set((accused.get(row.seqs[0]) ?? []).map(({ rule }) => `⚑ ${rule}`));
  if (rules.size) part("rule", [...rules].join(" "));
  part("who", `${first.node} ${first.kind}`);
  said.append(first.says);
  return said;
}

/** A quiet record in one word: quotes and heartbeats are inputs and frames like others. */
function kindOf({ kind, says }) {
  if (kind === "commit" || kind === "release") return kind;
  const word = /quote|tick|heartbeat|wake/.exec(says);
  return word ? word[0] : /^feed\.event/.test(says) ? "tick" : kind;
}

function count(words) {
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

/** The whole time from top to bottom: how much happened, and where things went wrong. */
function drawOverview(svg, story, endNs, accused, range) {
  const { clientWidth: width, clientHeight: height } = svg;
  const yAt = (ns) => (ns / Math.max(endNs, 1)) * height;
  const step = 3;
  const buckets = new Array(Math.ceil(height / step) + 1).fill(0);
  for (const { atNs } of story.records) buckets[Math.floor(yAt(atNs) / step)] += 1;
  const most = Math.max(...buckets, 1);
  const bars = buckets.map((times, place) => {
    const share = Math.sqrt(times / most); // so that little is seen beside much
    return draw("rect", { class: "density", y: place * step, height: step - 1, width: share * (width - 14) });
  });
  const tick = (seq, name) => {
    const y = yAt(story.records[seq].atNs);
    return draw("line", { class: name, x1: width - 12, x2: width, y1: y, y2: y });
  };
  const faults = story.records.flatMap(({ kind }, seq) => (kind === "fault" ? [tick(seq, "fault")] : []));
  const violations = [...accused.keys()].map((seq) => tick(seq, "violation"));
  const isPart = range[1] - range[0] < endNs;
  const part = draw("rect", { class: "part", width, y: yAt(range[0]), height: isPart ? yAt(range[1] - range[0]) : 0 });
  const window = draw("rect", { class: "window", x: 0, width, y: 0, height: 0 });
  svg.replaceChildren(part, ...bars, ...faults, ...violations, window);
}
