"use strict";
// Which rows the diagram has, and where they lie. A row is one record, or a run of quiet ones.

const ROW = 18; // the height of a row, and the room for a text
const PAUSE_NS = 200e6; // in order, a longer pause is told
const WHOLE = 12_000; // the height of the whole time, to scale, before any zoom
const TALLEST = 2e6; // browsers draw no taller picture exactly

/** Rows of the records that `shows` lets through; quiet neighbours are one row unless `isOpen`. */
function rowsOf(records, shows, isOpen) {
  const rows = [];
  let run = null;
  records.forEach((record, seq) => {
    if (!shows(record)) return;
    if (!record.quiet || isOpen(seq)) {
      run = null;
      rows.push({ seqs: [seq], at: record.atNs });
    } else if (run) {
      run.seqs.push(seq);
    } else {
      run = { seqs: [seq], at: record.atNs };
      rows.push(run);
    }
  });
  return rows;
}

/** Gives each row its `y`. In order, rows follow each other; to scale, `y` is their time. */
function place(rows, scale, zoom, fromNs, toNs) {
  const height = Math.round(ROW * zoom);
  if (scale === "time") {
    const whole = Math.max(toNs - fromNs, 1);
    const perNs = Math.min(WHOLE * zoom ** 3, TALLEST) / whole;
    for (const row of rows) row.y = ROW + (row.at - fromNs) * perNs;
    return { height: ROW, total: whole * perNs + 3 * ROW, pauses: [] };
  }
  const pauses = [];
  let y = height;
  let before = null;
  for (const row of rows) {
    if (before !== null && row.at - before >= PAUSE_NS) {
      pauses.push({ y, ns: row.at - before });
      y += ROW;
    }
    row.y = y;
    y += height;
    before = row.at;
  }
  return { height, total: y + height, pauses };
}

/** The place of a time: between the rows before and after it. */
function yOf(rows, ns) {
  if (rows.length === 0) return 0;
  const after = firstFrom(rows, (row) => row.at >= ns);
  if (after === 0) return rows[0].y;
  if (after === rows.length) return rows[after - 1].y;
  const [a, b] = [rows[after - 1], rows[after]];
  return a.y + ((ns - a.at) / Math.max(b.at - a.at, 1)) * (b.y - a.y);
}

/** The place of the first for which it holds; it holds for all that follow. */
function firstFrom(rows, holds) {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(rows[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** `1.234567 s` of nanoseconds, to the given digits. */
function seconds(ns, digits) {
  return (ns / 1e9).toFixed(digits);
}
