// A log of any length: only the lines in sight are in the page, and only those around them in memory.

import { clock } from "./times.js";

const LINE = 20; // pixels; the same as in the style sheet
const TALLEST = 15_000_000; // pixels: browsers end at 16 to 33 million, so that longer logs are scrolled faster
const CHUNK = 200; // lines that are fetched at once
const KEPT = 60; // chunks
const PATIENCE = 150; // milliseconds that a search waits for the next letter

export class LogView {
  constructor(element, url) {
    this.parts = Object.fromEntries([...element.querySelectorAll("[data-log]")].map((part) => [part.dataset.log, part]));
    this.url = url;
    this.whole = 0; // lines of the log
    this.follows = true;
    this.ranks = [];
    this.reset();
    const { lines, rank, level, text, follow, close } = this.parts;
    lines.addEventListener("scroll", () => this.scrolled(), { passive: true });
    lines.addEventListener("click", (event) => this.select(event.target.closest("[data-place]")));
    close.addEventListener("click", () => (this.parts.whole.hidden = true));
    rank.addEventListener("change", () => this.filter());
    level.addEventListener("change", () => this.filter());
    text.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.filter(), PATIENCE);
    });
    text.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.select(this.parts.rows.lastElementChild);
    });
    follow.addEventListener("click", () => this.follow(!this.follows));
    new ResizeObserver(() => this.draw()).observe(lines);
  }

  // -------------------------------------------------------------- what there is

  /** Lines came in: how many there are now, and the newest. */
  grow({ total, from, lines, ranks }) {
    if (total < this.whole) this.reset(); // another server, which numbers the lines anew
    this.whole = total;
    this.offer(ranks);
    if (this.isFiltered) return this.lookForMore();
    this.keep(from, lines);
    this.setTotal(total);
  }

  /** Begin anew, with other filters or another numbering. */
  reset() {
    const { rank, level, text } = this.parts;
    this.query = new URLSearchParams();
    for (const [name, part] of Object.entries({ rank, level, text })) if (part.value) this.query.set(name, part.value);
    this.isFiltered = this.query.size > 0;
    this.total = 0;
    this.chunks = new Map(); // by number: an array of lines, with holes
    this.asked = new Set(); // chunks that are on their way
    this.generation = (this.generation ?? 0) + 1;
  }

  filter() {
    this.reset();
    this.parts.whole.hidden = true;
    if (this.isFiltered) this.fetch(-CHUNK);
    else this.setTotal(this.whole);
  }

  lookForMore() {
    if (this.looking) return;
    this.looking = true;
    this.fetch(Math.max(0, this.total - 1)).finally(() => (this.looking = false));
  }

  async fetch(from) {
    const generation = this.generation;
    const query = new URLSearchParams(this.query);
    query.set("from", from);
    query.set("count", CHUNK);
    const answer = await fetch(`${this.url}?${query}`).then((response) => (response.ok ? response.json() : null), () => null);
    if (!answer || generation !== this.generation) return;
    this.keep(answer.from, answer.lines);
    this.setTotal(answer.total);
  }

  keep(from, lines) {
    lines.forEach((line, place) => {
      const at = from + place;
      const number = Math.floor(at / CHUNK);
      if (!this.chunks.has(number)) this.chunks.set(number, new Array(CHUNK));
      this.chunks.get(number)[at % CHUNK] = line;
    });
  }

  lineAt(place) {
    return this.chunks.get(Math.floor(place / CHUNK))?.[place % CHUNK];
  }

  /** Ask for the chunks in sight that are not there yet, and forget those that are far away. */
  complete(first, last) {
    for (let number = Math.floor(first / CHUNK); number * CHUNK <= last; number += 1) {
      const begin = number * CHUNK;
      const end = Math.min(begin + CHUNK, this.total);
      const chunk = this.chunks.get(number);
      let missing = !chunk;
      for (let place = begin; !missing && place < end; place += 1) missing = !chunk[place % CHUNK];
      if (!missing || this.asked.has(number)) continue;
      this.asked.add(number);
      this.fetch(begin).finally(() => this.asked.delete(number));
    }
    if (this.chunks.size <= KEPT) return;
    const middle = Math.floor(first / CHUNK);
    const far = [...this.chunks.keys()].sort((a, b) => Math.abs(b - middle) - Math.abs(a - middle));
    for (const number of far.slice(0, this.chunks.size - KEPT)) this.chunks.delete(number);
  }

  // -------------------------------------------------------------- what is seen

  setTotal(total) {
    this.total = total;
    this.parts.height.style.height = `${Math.min(total * LINE, TALLEST)}px`;
    this.parts.lines.style.setProperty("--lines", Math.max(8, Math.min(total + 1, 1000)));
    const all = this.whole.toLocaleString();
    this.parts.count.textContent = this.isFiltered ? `${total.toLocaleString()} of ${all} lines` : `${all} lines`;
    if (this.follows) this.toEnd();
    this.draw();
  }

  toEnd() {
    this.parts.lines.scrollTop = this.parts.lines.scrollHeight;
  }

  follow(follows) {
    this.follows = follows;
    this.parts.follow.setAttribute("aria-pressed", String(follows));
    if (follows) this.toEnd();
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.parts.lines;
    const atEnd = scrollTop + clientHeight >= scrollHeight - LINE;
    if (atEnd !== this.follows && (atEnd || scrollTop < (this.lastTop ?? 0))) this.follow(atEnd);
    this.lastTop = scrollTop;
    this.draw();
  }

  draw() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = null;
      this.drawNow();
    });
  }

  drawNow() {
    const { lines, rows, height } = this.parts;
    const room = lines.clientHeight;
    const scrollable = Math.max(1, height.offsetHeight - room);
    const share = Math.min(1, lines.scrollTop / scrollable);
    const top = share * Math.max(0, this.total - room / LINE); // in lines, with a fraction
    const first = Math.floor(top);
    const count = Math.min(Math.ceil(room / LINE) + 1, this.total - first);
    rows.style.transform = `translateY(${lines.scrollTop - (top - first) * LINE}px)`;
    while (rows.children.length > Math.max(0, count)) rows.lastChild.remove();
    while (rows.children.length < count) rows.append(newRow());
    for (let row = 0; row < count; row += 1) this.fill(rows.children[row], first + row);
    if (count > 0) this.complete(first, first + count - 1);
  }

  fill(row, place) {
    const line = this.lineAt(place);
    if (row.dataset.place === String(place) && row.line === line && row.query === this.query) return;
    row.dataset.place = place;
    row.line = line;
    row.query = this.query;
    const [time, node, message] = row.children;
    row.className = line ? (line[3] ?? "").toLowerCase() : "loading";
    time.textContent = line ? clock(new Date(line[1])) : "";
    node.textContent = line && this.ranks.length > 1 ? line[2] : "";
    mark(message, line ? line[4] : "…", this.query.get("text"));
  }

  /** Show a line whole; of one that was found, also where it stands. */
  select(row) {
    const line = row?.line;
    if (!line || getSelection().toString()) return;
    this.parts.whole.querySelector("pre").textContent = `${new Date(line[1]).toISOString()}  ${line[2]}  line ${(line[0] + 1).toLocaleString()}\n${line[4]}`;
    this.parts.whole.hidden = false;
    if (this.isFiltered) this.goTo(line[0]);
  }

  goTo(number) {
    const { rank, level, text, lines, height } = this.parts;
    rank.value = level.value = text.value = "";
    this.reset();
    this.follow(false);
    this.setTotal(this.whole);
    const visible = lines.clientHeight / LINE;
    const share = Math.max(0, number - visible / 2) / Math.max(1, this.total - visible);
    lines.scrollTop = share * (height.offsetHeight - lines.clientHeight);
    this.draw();
  }

  offer(ranks) {
    if (ranks.length === this.ranks.length) return;
    this.ranks = ranks;
    const { rank } = this.parts;
    while (rank.options.length > 1) rank.remove(1);
    for (const each of ranks) rank.add(new Option(`Node ${each}`, each));
    rank.hidden = ranks.length < 2;
  }
}

function newRow() {
  const row = document.createElement("div");
  row.append(document.createElement("time"), document.createElement("i"), document.createElement("span"));
  return row;
}

/** Put text into an element, with what was searched for marked. */
function mark(element, text, wanted) {
  if (!wanted) {
    element.textContent = text;
    return;
  }
  element.replaceChildren();
  const [low, search] = [text.toLowerCase(), wanted.toLowerCase()];
  let done = 0;
  for (let at = low.indexOf(search); at >= 0; at = low.indexOf(search, done)) {
    const found = Object.assign(document.createElement("mark"), { textContent: text.slice(at, at + search.length) });
    element.append(text.slice(done, at), found);
    done = at + search.length;
  }
  element.append(text.slice(done));
}
