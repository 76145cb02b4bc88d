/* Flame graphs of the report.

   flame(figure, data) puts a flame graph into `<figure class="flame" data-flame="N">`, an empty element or one with a
   <figcaption> that stays. `data` is document.flames[N] of the page's JSON: what plugin_utils/report/flame.py gives, without
   any change (the shape is described there, class Flame):

     { title, kind, type, unit: "bytes" | "nanoseconds" | "count", noun, order: "flat" | "cum", total, before: null | total,
       samples, pruned: {boxes, value, below, share, limited}, strings: [...], functions: [[name, file, class], ...],
       nodes: {function, line, value, self, size[, before, before_self]}: flat arrays in preorder,
       top: [[function, flat, cum(, flat before, cum before)], ...], origins: [flat by class] }

   It can be called at once for every figure of a page: nothing is laid out before the figure is seen, that is scrolled to or
   inside of a <details> that is opened. For print it draws the upper rows as SVG. It needs flame.css, and nothing else: no
   library, no request, no inline style (CSP), and text nodes only, for names come from a host. It is a function declaration,
   so the text of this file can stand before or inside the page's script. */
function flame(figure, data) {
  "use strict";
  const CLASSES = ["own", "dependency", "std", "runtime"];
  const CLASS_WORDS = ["own code", "dependency", "standard library", "runtime"];
  const LEGEND_WORDS = ["Own code", "Dependencies", "Standard library", "Runtime"];
  const SHADES = 3, MOVE = 180, TABLE = 10, PRINT_WIDTH = 720, PRINT_ROW = 15, PRINT_ROWS = 32;
  const OTHER_PAINTS = ["ink", "dim-ink", "hit-ink", "dim", "hit", "pruned", "narrow"];
  const SVG = "http://www.w3.org/2000/svg";
  const { strings, functions, nodes, total } = data;
  const count = nodes.value.length, compared = data.before !== null && data.before !== undefined;
  const id = `flame-${flame.made = (flame.made || 0) + 1}`;

  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== "" && child !== null));
    return node;
  }

  /* Words */
  const digits = [2, 1, 0].map((maximumFractionDigits) => new Intl.NumberFormat("en", { maximumFractionDigits }));
  const number = (value) => digits[value < 10 ? 0 : value < 100 ? 1 : 2].format(value);
  function scaled(value, steps) {
    let step = 0;
    while (step + 1 < steps.length && Math.abs(value) >= steps[step + 1][0] * 0.9995) step += 1;
    return `${number(value / steps[step][0])} ${steps[step][1]}`;
  }
  const BYTES = [[1, "B"], [1024, "KiB"], [1048576, "MiB"], [1073741824, "GiB"], [1099511627776, "TiB"]];
  const TIMES = [[1, "ns"], [1e3, "µs"], [1e6, "ms"], [1e9, "s"], [6e10, "min"], [3.6e12, "h"]];
  const amount = (value) => data.unit === "bytes" ? scaled(value, BYTES) : data.unit === "nanoseconds" ? scaled(value, TIMES)
    : data.unit === "count" ? number(value) : `${number(value)} ${data.unit}`;
  const counted = (value) => `${amount(value)} ${data.unit === "count" && value === 1 ? data.noun.replace(/s$/, "") : data.noun}`;
  function share(value, whole) {
    if (!whole) return "0 %";
    const percent = 100 * value / whole;
    return percent > 0 && percent < 0.01 ? "< 0.01 %" : `${number(percent)} %`;
  }
  function change(after, before) {
    const sign = after > before ? "+" : after < before ? "−" : "±";
    return `${sign}${amount(Math.abs(after - before))}`;
  }
  const growth = (after, before) => before ? ` (${after >= before ? "+" : "−"}${share(Math.abs(after - before), before)})` : "";

  /* Functions: example.org/shop/cart.(*Store).Add, cart.(*Store).Add, (*Store).Add, Add: what fits is shown. The linker writes
     dots of a path's last element as %2e (cmd/internal/objabi, PathToPrefix). */
  const names = functions.map(([name]) => strings[name].replace(/%2e/g, ".").replace(/%22/g, '"').replace(/%25/g, "%"));
  names[0] = "all";
  const lower = names.map((name) => name.toLowerCase());
  const short = names.map((name) => {
    const generic = name.indexOf("[");
    return name.slice(name.lastIndexOf("/", generic < 0 ? name.length : generic) + 1);
  });
  const last = short.map((name) => {
    const parts = /^[^.(]*\.(.+)$/.exec(name);
    return parts ? parts[1] : name;
  });
  const method = last.map((name) => name.replace(/^\(\*?[^()]*\)\./, ""));
  // A package keeps its shade, so that where one package ends and the next begins is seen without reading.
  const shades = names.map((name, index) => {
    const package_ = name.slice(0, name.length - short[index].length) + short[index].split(".", 1)[0];
    let hash = 7;
    for (let at = 0; at < package_.length; at += 1) hash = (hash * 31 + package_.charCodeAt(at)) % 65521;
    return hash % SHADES + 1;
  });
  const classOf = (node) => functions[nodes.function[node]][2];
  const nameOf = (node) => names[nodes.function[node]];
  function placeOf(node) {
    const file = strings[functions[nodes.function[node]][1]];
    const lines = [].concat(nodes.line[node]);
    if (!file) return "";
    if (!lines[0]) return file;
    return `${file}:${lines.filter(Boolean).join(", ")}${lines[lines.length - 1] === 0 ? ", …" : ""}`;
  }

  /* Geometry in values: each box begins at start[box] and is value[box] wide; what is pruned comes behind the children. */
  const parent = new Int32Array(count).fill(-1), depth = new Int32Array(count);
  const start = new Float64Array(count), below = new Float64Array(count);
  let value = nodes.value, self = nodes.self, whole = total, view = "after";
  for (let box = 0; box < count; box += 1) {
    for (let child = box + 1; child < box + nodes.size[box]; child += nodes.size[child]) {
      parent[child] = box;
      depth[child] = depth[box] + 1;
    }
  }
  function place() {
    if (!total && compared) view = "before";
    [value, self, whole] = view === "after" ? [nodes.value, nodes.self, total] : [nodes.before, nodes.before_self, data.before];
    below.fill(0);
    for (let box = 1; box < count; box += 1) {
      start[box] = start[parent[box]] + below[parent[box]];
      below[parent[box]] += value[box];
    }
  }
  const prunedOf = (box) => Math.max(0, value[box] - self[box] - below[box]);

  function childrenOf(box) {
    const found = [];
    for (let child = box + 1; child < box + nodes.size[box]; child += nodes.size[child]) if (value[child] > 0) found.push(child);
    return found;
  }

  /* Text that fits into a width. Each character is measured once: measuring thousands of names takes longer than drawing. */
  function Ruler(font) {
    const context = document.createElement("canvas").getContext("2d"), widths = new Map(), sums = new Map();
    context.font = font;
    function wide(char) {
      let known = widths.get(char);
      if (known === undefined) widths.set(char, known = context.measureText(char).width);
      return known;
    }
    this.width = (words) => {
      let sum = sums.get(words);
      if (sum === undefined) {
        sum = 0;
        for (const char of words) sum += wide(char);
        sums.set(words, sum);
      }
      return sum;
    };
    this.cut = (words, room) => {
      if (this.width(words) <= room) return words;
      let sum = wide("…"), fitting = "";
      for (const char of words) {
        sum += wide(char);
        if (sum > room) break;
        fitting += char;
      }
      return fitting.length > 2 ? `${fitting}…` : "";
    };
    this.fit = (index, room) => [short, last, method].map((kind) => kind[index]).find((words) => this.width(words) <= room)
      || this.cut(method[index], room);
  }

  /* The colour of a box by its name in flame.css. */
  function step(after, before) {
    const relative = (after - before) / Math.max(after, before, 1), size = Math.abs(relative);
    if (size < 0.05) return "same";
    return `${relative > 0 ? "grew" : "shrank"}-${size < 0.25 ? 1 : size < 0.6 ? 2 : 3}`;
  }
  const paints = new Array(count);
  for (let box = 0; box < count; box += 1) {
    if (compared) paints[box] = step(nodes.value[box], nodes.before[box]);
    else if (!box) paints[box] = "all";
    else paints[box] = `${CLASSES[classOf(box)]}-${shades[nodes.function[box]]}`;
  }
  if (compared) paints[0] = step(total, data.before);

  /* What is at least a pixel wide, row by row: boxes, neighbours that are too narrow as one, and what is pruned. */
  function layout(from, to, width, rows = Infinity) {
    const scale = width / (to - from), lines = [], unsorted = new Set();
    const left = (at) => Math.max(0, (at - from) * scale), right = (at) => Math.min(width, (at - from) * scale);
    const row = (at) => lines[at] || (lines[at] = []);
    let box = 0;
    while (box < count) {
      const item = { left: left(start[box]), right: right(start[box] + value[box]), box, parent: parent[box], value: value[box] };
      if (item.right <= item.left || depth[box] >= rows) {
        box += nodes.size[box];
      } else if (item.right - item.left < 1) {
        const line = row(depth[box]), before = line[line.length - 1];
        if (before && before.narrow && before.parent === item.parent) {
          before.right = item.right;
          before.narrow += 1;
          before.value += item.value;
          before.end = box + nodes.size[box];
        } else line.push({ ...item, box: -1, narrow: 1, first: box, end: box + nodes.size[box] });
        box += nodes.size[box];
      } else {
        row(depth[box]).push(item);
        const begin = start[box] + below[box], pruned = prunedOf(box);
        const gone = { left: left(begin), right: right(begin + pruned), box: -1, parent: box, value: pruned, pruned: true };
        if (gone.right - gone.left >= 1 && depth[box] + 1 < rows) {
          row(depth[box] + 1).push(gone);
          unsorted.add(lines[depth[box] + 1]);
        }
        box += 1;
      }
    }
    // A box that is pruned away was found before its siblings, and is right of them.
    for (const line of unsorted) line.sort((one, other) => one.left - other.left);
    return lines.map((line) => line.filter((item) => item.box >= 0 || item.right - item.left >= 1));
  }

  /* What a box says in words. */
  const boxes = (many) => `${number(many)} ${many === 1 ? "box" : "boxes"}`;
  function told(item) {
    if (item.pruned) return ["(pruned)", "", [`${counted(item.value)} below ${shortly(item.parent)}, ${share(item.value, whole)}`,
      "in boxes too small for this report; the profile has them"]];
    if (item.narrow) return ["(too narrow)", "", [`${boxes(item.narrow)} below ${shortly(item.parent)}: ${counted(item.value)}, `
      + share(item.value, whole), "zoom in to see them"]];
    const { box } = item, words = [];
    words.push(`${counted(value[box])}, ${share(value[box], whole)}${box ? "" : " of the profile"}`);
    if (compared) {
      const after = nodes.value[box], before = nodes.before[box];
      words[0] = `${change(after, before)}${growth(after, before)}: ${amount(before)} before, ${amount(after)} after`;
      words.push(`${share(value[box], whole)} of ${view}`);
    } else if (zoomed && box > zoomed && box < zoomed + nodes.size[zoomed]) words.push(`${share(value[box], value[zoomed])} of what is shown`);
    if (box) words.push(self[box] ? `itself ${amount(self[box])}, ${share(self[box], whole)}` : "itself nothing");
    if (box) words.push(CLASS_WORDS[classOf(box)]);
    return [box ? nameOf(box) : `All: ${data.title}`, box ? placeOf(box) : `${number(data.samples)} ${data.samples === 1 ? "stack" : "stacks"}`, words];
  }
  const shortly = (box) => box > 0 ? short[nodes.function[box]] : "all";

  let zoomed = 0, active = -1, query = "", frame = 0, rows = [], width = 0, ratio = 1, rowHeight = 20, ruler = null;
  let windowNow = [0, 1], lastPointer = "mouse", ready = false, printed = null, order = data.order, all = false;
  const history = [], matched = new Uint8Array(functions.length), matchesBefore = new Int32Array(count + 1);
  const parts = {}, colours = {};

  function read() {
    const style = getComputedStyle(parts.graph);
    for (const name of [...OTHER_PAINTS, ...new Set(paints)]) colours[name] = style.getPropertyValue(`--flame-${name}`).trim();
    rowHeight = parseFloat(style.getPropertyValue("--flame-row")) || 20;
    const font = `${style.getPropertyValue("--flame-font").trim() || "12px"} ${style.fontFamily}`;
    if (!ruler || ruler.font !== font) {
      ruler = new Ruler(font);
      ruler.font = font;
    }
  }

  function draw() {
    if (!width || !whole) return;
    rows = layout(windowNow[0], windowNow[1], width);
    const height = Math.max(1, rows.length) * rowHeight;
    // A canvas has a largest area (16.7 million pixels in Safari): a very tall graph is drawn less fine.
    ratio = Math.min(window.devicePixelRatio || 1, 16000 / height, Math.sqrt(16e6 / (width * height)));
    const { canvas } = parts, wide = Math.round(width * ratio), high = Math.round(height * ratio);
    if (canvas.width !== wide || canvas.height !== high) {
      canvas.width = wide;
      canvas.height = high;
      canvas.style.height = `${height}px`;
      canvas.style.width = `${width}px`;
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = ruler.font;
    context.textBaseline = "middle";
    const searching = query !== "", ancestors = depth[zoomed];
    rows.forEach((line, at) => {
      const top = at * rowHeight;
      for (const item of line) {
        const wideness = item.right - item.left, gap = Math.min(1, wideness * 0.25);
        const hit = searching && (item.box >= 0 ? matched[nodes.function[item.box]]
          : item.narrow && matchesBefore[item.end] > matchesBefore[item.first]);
        let paint = item.pruned ? "pruned" : item.narrow ? "narrow" : paints[item.box], ink = item.box >= 0 ? "ink" : "dim-ink";
        if (hit) {
          paint = "hit";
          ink = "hit-ink";
        } else if (searching || at < ancestors) {
          paint = "dim";
          ink = "dim-ink";
        }
        context.fillStyle = colours[paint];
        context.fillRect(item.left, top, wideness - gap, rowHeight - 1);
        if (wideness < 24) continue;
        const room = wideness - 9;
        const words = item.box > 0 ? ruler.fit(nodes.function[item.box], room)
          : item.box === 0 ? ruler.cut(rootWords(), room) || "all" : ruler.cut(item.pruned ? "(pruned)" : "(too narrow)", room);
        if (!words) continue;
        context.fillStyle = colours[ink];
        context.fillText(words, item.left + 4, top + rowHeight / 2);
        const percent = share(item.value, whole);
        if (item.box > 0 && room - ruler.width(words) > ruler.width(percent) + 24) {
          context.fillText(percent, item.right - 5 - ruler.width(percent), top + rowHeight / 2);
        }
      }
    });
    outline(parts.ring, active);
    parts.hover.hidden = true;
  }
  const rootWords = () => `all: ${counted(whole)}`;

  function outline(element, box) {
    const scale = width / (windowNow[1] - windowNow[0]);
    element.hidden = box < 0 || !value[box];
    if (element.hidden) return;
    const left = Math.max(0, Math.min(width - 3, (start[box] - windowNow[0]) * scale));
    const right = Math.min(width, Math.max((start[box] + value[box] - windowNow[0]) * scale, left + 3));
    over(element, left, right, depth[box]);
  }
  function over(element, left, right, at) {
    Object.assign(element.style, { left: `${left}px`, top: `${at * rowHeight}px`, width: `${right - left}px`, height: `${rowHeight - 1}px` });
  }

  /* Where the reader is: the detail line, and for who hears the page a tree of the boxes from the root to the active one. */
  function tell(item) {
    const [name, file, words] = told(item);
    parts.name.textContent = name;
    parts.place.textContent = file;
    parts.words.textContent = words.join(" · ");
  }
  const itemOf = (box) => ({ box, value: value[box], parent: parent[box] });
  function activate(box, { quietly = false } = {}) {
    active = box;
    const path = [];
    for (let at = box; at >= 0; at = parent[at]) path.unshift(at);
    parts.path.replaceChildren(...path.map((at) => {
      const siblings = parent[at] < 0 ? [at] : childrenOf(parent[at]), [name, file, words] = told(itemOf(at));
      return el("div", { id: `${id}-${at}`, role: "treeitem", "aria-level": depth[at] + 1, "aria-setsize": siblings.length,
        "aria-posinset": siblings.indexOf(at) + 1, "aria-expanded": nodes.size[at] > 1 ? "true" : null,
        "aria-selected": at === box ? "true" : "false", "aria-label": [name, ...words, file].filter(Boolean).join(", ") });
    }));
    if (box >= 0) parts.graph.setAttribute("aria-activedescendant", `${id}-${box}`);
    else parts.graph.removeAttribute("aria-activedescendant");
    outline(parts.ring, box);
    if (box >= 0) tell(itemOf(box));
    if (box >= 0 && !quietly) seen(box);
  }
  function seen(box) {
    // The row of the active box stays between the detail line, which sticks to the top, and the end of the window.
    const top = parts.graph.getBoundingClientRect().top + depth[box] * rowHeight, bar = parts.bar.getBoundingClientRect().height;
    if (top < bar + 8) window.scrollBy(0, top - bar - 8);
    else if (top + rowHeight > window.innerHeight - 8) window.scrollBy(0, top + rowHeight - window.innerHeight + 8);
  }

  /* Zoom */
  function zoom(box, { remember = true } = {}) {
    if (box === zoomed || !value[box]) return;
    if (remember) history.push(zoomed);
    zoomed = box;
    crumbs();
    const goal = [start[box], start[box] + value[box]], from = windowNow;
    cancelAnimationFrame(frame);
    frame = 0;
    parts.back.disabled = !history.length;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      windowNow = goal;
      draw();
      return;
    }
    const began = performance.now();
    const move = (now) => {
      const part = Math.min(1, Math.max(0, now - began) / MOVE), eased = 1 - (1 - part) ** 3;
      windowNow = part < 1 ? [from[0] + (goal[0] - from[0]) * eased, from[1] + (goal[1] - from[1]) * eased] : goal;
      frame = part < 1 ? requestAnimationFrame(move) : 0;
      draw();
    };
    frame = requestAnimationFrame(move);
  }
  function back() {
    if (!history.length) return false;
    const left = zoomed;
    zoom(history.pop(), { remember: false });
    parts.back.disabled = !history.length;
    if (active >= 0) activate(left);
    return true;
  }
  function crumbs() {
    const path = [];
    for (let at = zoomed; at >= 0; at = parent[at]) path.unshift(at);
    const shownPath = path.length > 5 ? [path[0], -1, ...path.slice(-3)] : path;
    parts.crumbs.replaceChildren(...shownPath.map((at) => el("li", {}, at < 0 ? el("span", { title: `${path.length - 4} more` }, "…")
      : at === zoomed ? el("span", { "aria-current": "true" }, shortly(at))
      : el("button", { type: "button", class: "plain", onclick: () => { zoom(at); if (active >= 0) activate(at); } }, shortly(at)))));
    parts.crumbs.scrollLeft = parts.crumbs.scrollWidth;
  }

  /* Search */
  function search(words, { exactly = false } = {}) {
    query = words.trim().toLowerCase();
    let found = 0, sum = 0;
    for (let index = 1; index < functions.length; index += 1) {
      matched[index] = query && (exactly ? lower[index] === query : lower[index].includes(query)) ? 1 : 0;
    }
    let until = 0;
    for (let box = 0; box < count; box += 1) {
      const hit = matched[nodes.function[box]] && value[box] > 0 ? 1 : 0;
      matchesBefore[box + 1] = matchesBefore[box] + hit;
      found += hit;
      // A match inside of a match is a part of it.
      if (hit && box >= until) {
        sum += value[box];
        until = box + nodes.size[box];
      }
    }
    parts.found.textContent = !query ? "" : found ? `${boxes(found)}, ${share(sum, whole)}` : "Nothing matches";
    parts.clear.hidden = !query;
    draw();
  }
  function nextMatch(direction) {
    if (!query || !matchesBefore[count]) return;
    let box = active;
    do box = (box + direction + count) % count; while (!(matched[nodes.function[box]] && value[box] > 0));
    if (box < zoomed || box >= zoomed + nodes.size[zoomed]) zoom(0);
    activate(box);
  }

  /* Keys, pointer */
  function neighbour(box, direction) {
    const siblings = box ? childrenOf(parent[box]) : [0], next = siblings[siblings.indexOf(box) + direction];
    if (next !== undefined) return next;
    // At the end of the siblings it goes on with the next box of the same level.
    for (let at = box + direction; at > 0 && at < count; at += direction) if (depth[at] === depth[box] && value[at] > 0) return at;
    return box;
  }
  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const from = active < 0 ? zoomed : active;
    const moves = {
      ArrowUp: () => parent[from] < 0 ? from : parent[from],
      ArrowDown: () => active < 0 ? from : childrenOf(from)[0] ?? from,
      ArrowLeft: () => neighbour(from, -1),
      ArrowRight: () => neighbour(from, 1),
      Home: () => 0,
      End: () => { let at = from; for (let next = at; next !== undefined; [next] = childrenOf(at)) at = next; return at; },
    };
    if (moves[event.key]) {
      const to = moves[event.key]();
      if (to < zoomed || to >= zoomed + nodes.size[zoomed]) zoom(common(to));
      activate(to);
    } else if (event.key === "Enter" || event.key === " ") {
      zoom(from);
      activate(from);
    } else if (event.key === "Escape" || event.key === "Backspace") {
      if (!back() && event.key === "Escape") return;
    } else if (event.key === "/") parts.search.focus();
    else return;
    event.preventDefault();
  }
  /* The smallest box around both where the zoom is and another box. */
  function common(box) {
    let at = zoomed;
    while (at > 0 && (box < at || box >= at + nodes.size[at])) at = parent[at];
    return at;
  }
  function under(event) {
    const area = parts.canvas.getBoundingClientRect(), x = event.clientX - area.left, y = event.clientY - area.top;
    const line = rows[Math.floor(y / rowHeight)];
    return line && line.find((item) => x >= item.left && x < item.right);
  }
  function hover(event) {
    if (event.pointerType === "touch") return;
    const item = under(event);
    parts.hover.hidden = !item;
    parts.canvas.classList.toggle("flame-over", Boolean(item));
    if (!item) {
      leave();
      return;
    }
    over(parts.hover, item.left, item.right, Math.floor((event.clientY - parts.canvas.getBoundingClientRect().top) / rowHeight));
    tell(item);
  }
  function leave() {
    parts.hover.hidden = true;
    tell(itemOf(active >= 0 ? active : zoomed));
  }
  function click(event) {
    const item = under(event);
    if (!item) return;
    const touched = lastPointer === "touch";
    const goal = item.box >= 0 ? item.box : item.narrow && item.parent === zoomed ? item.first : item.parent;
    // A finger covers what it points at: the first tap tells, the second zooms.
    if (touched && item.box >= 0 && item.box !== active) {
      activate(item.box, { quietly: true });
      return;
    }
    if (touched && item.box < 0) {
      tell(item);
      if (item.pruned) return;
    }
    parts.hover.hidden = true;
    if (goal === zoomed && zoomed && item.box >= 0) back();
    else zoom(goal);
    activate(touched || active >= 0 ? goal : -1, { quietly: true });
    tell(itemOf(goal));
  }

  /* The table below: the same numbers for who does not see the graph, and on paper. */
  function table() {
    const [FLAT, CUM, FLAT_BEFORE, CUM_BEFORE] = [1, 2, 3, 4];
    const key_ = order === "cum" ? CUM : FLAT, before = order === "cum" ? CUM_BEFORE : FLAT_BEFORE;
    const weight = (line) => compared ? line[key_] - line[before] : line[key_];
    const lines = data.top.filter((line) => !compared || line[FLAT] !== line[FLAT_BEFORE] || line[CUM] !== line[CUM_BEFORE])
      .sort((one, other) => Math.abs(weight(other)) - Math.abs(weight(one)) || Math.abs(other[CUM] - (other[CUM_BEFORE] || 0)) - Math.abs(one[CUM] - (one[CUM_BEFORE] || 0)));
    const cells = (line, now, then) => compared
      ? [el("td", { class: "tally" }, change(line[now], line[then])), el("td", { class: "tally flame-share" }, amount(line[now]))]
      : [el("td", { class: "tally" }, amount(line[now])), el("td", { class: "tally flame-share" }, share(line[now], total))];
    const head = (name, words, about) => el("th", { scope: "col", class: "tally", "aria-sort": order === name ? "descending" : "none" },
      el("button", { type: "button", class: "plain", title: about, onclick: () => { order = name; table(); parts.table.querySelector(`[aria-sort=descending] button`).focus(); } },
        words + (order === name ? " ↓" : "")));
    const rest = lines.length - TABLE;
    parts.table.replaceChildren(
      el("div", { class: "scroll" }, el("table", {},
        el("caption", { class: "offscreen" }, `${data.title}: functions by ${order === "cum" ? "cumulative" : "own"} value`),
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Function"),
          head("flat", compared ? "Own change" : "Flat", "What the function itself holds, without what it calls"),
          el("th", { scope: "col", class: "tally flame-share" }, compared ? "after" : "%"),
          head("cum", compared ? "Change with callees" : "Cumulative", "What the function and everything it calls hold"),
          el("th", { scope: "col", class: "tally flame-share" }, compared ? "after" : "%"))),
        el("tbody", {}, ...lines.slice(0, all ? undefined : TABLE).map((line) => el("tr", {},
          el("th", { scope: "row" }, el("div", { class: "flame-line" }, swatch(line[0]), el("button", { type: "button", class: "flame-name",
            title: "Show where it is in the graph", onclick: () => find(names[line[0]]) }, names[line[0]]))),
          ...cells(line, FLAT, FLAT_BEFORE), ...cells(line, CUM, CUM_BEFORE)))))),
      rest > 0 && !all ? el("p", { class: "flame-more" }, el("button", { type: "button", class: "plain", onclick: () => { all = true; table(); } },
        `Show ${rest} more`)) : "");
  }
  function find(name) {
    parts.search.value = name;
    search(name, { exactly: true });
    seen(0);
  }
  function swatch(index) {
    const origin = functions[index][2];
    if (compared) return "";
    return el("span", { class: `flame-swatch flame-fill-${CLASSES[origin]}-2`, title: CLASS_WORDS[origin] },
      el("span", { class: "offscreen" }, `${CLASS_WORDS[origin]}: `));
  }

  function legend() {
    if (compared) {
      return el("ul", { class: "flame-legend" }, ...[["shrank-3", "much less than before"], ["shrank-1", "less"], ["same", "the same"],
        ["grew-1", "more"], ["grew-3", "much more, or new"]].map(([paint, words]) => el("li", {},
        el("span", { class: `flame-swatch flame-fill-${paint}` }), words)));
    }
    const used = LEGEND_WORDS.map((words, at) => [at, words]).filter(([at]) => data.origins[at] || paints.some((paint) => paint.startsWith(CLASSES[at])));
    // Blocked goroutines are all in the runtime: there the shares would say nothing.
    const shares = data.order === "flat";
    return el("ul", { class: "flame-legend" }, shares ? el("li", { class: "quiet" }, "Flat, by class:") : "", ...used.map(([at, words]) => el("li", {},
      el("span", { class: `flame-swatch flame-fill-${CLASSES[at]}-2` }), words,
      shares ? el("span", { class: "quiet" }, ` ${share(data.origins[at], total)}`) : "")));
  }

  function note() {
    const { pruned } = data;
    if (!pruned.boxes) return "";
    return el("p", { class: "flame-note quiet" }, pruned.limited
      ? `The ${number(count)} largest boxes are shown. ${boxes(pruned.boxes)}, the largest of ${amount(pruned.below)}, are "(pruned)": together ${share(pruned.value, total)} of the total.`
      : `${boxes(pruned.boxes)} below ${share(pruned.share, 1)} (${amount(pruned.below)}) ${pruned.boxes === 1 ? "is" : "are"} "(pruned)": together ${share(pruned.value, total)} of the total.`);
  }

  /* On paper the upper rows as they are shown, as SVG: sharp, and the text is text. */
  function print() {
    begin();
    if (printed || !whole) return;
    const lines = layout(start[zoomed], start[zoomed] + value[zoomed], PRINT_WIDTH, PRINT_ROWS + depth[zoomed]).slice(depth[zoomed]);
    const ink = new Ruler(`10px ${getComputedStyle(parts.graph).fontFamily}`);
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${PRINT_WIDTH} ${lines.length * PRINT_ROW}`);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", data.title);
    printed = el("div", { class: "flame-print" }, zoomed ? el("p", { class: "quiet" },
      `Only ${nameOf(zoomed)}: ${counted(value[zoomed])}, ${share(value[zoomed], whole)}`) : "", svg);
    lines.forEach((line, at) => {
      for (const item of line) {
        const box = document.createElementNS(SVG, "rect"), wide = item.right - item.left;
        if (wide < 2) continue;
        box.setAttribute("class", `flame-fill-${item.pruned || item.narrow ? "pruned" : paints[item.box]}`);
        for (const [name, size] of [["x", item.left], ["y", at * PRINT_ROW], ["width", wide - 0.6], ["height", PRINT_ROW - 1]]) box.setAttribute(name, size.toFixed(1));
        svg.append(box);
        const words = item.box > 0 ? ink.fit(nodes.function[item.box], wide - 6) : item.box === 0 ? ink.cut(rootWords(), wide - 6) : "";
        if (!words || wide < 20) continue;
        const label = document.createElementNS(SVG, "text");
        label.setAttribute("x", (item.left + 3).toFixed(1));
        label.setAttribute("y", (at * PRINT_ROW + PRINT_ROW - 4.2).toFixed(1));
        label.textContent = words;
        svg.append(label);
      }
    });
    parts.graph.before(printed);
  }
  function printedOut() {
    if (printed) printed.remove();
    printed = null;
  }

  function measure() {
    width = Math.floor(parts.graph.clientWidth);
    read();
    draw();
  }

  /* Everything but a place holder is made when the figure is seen for the first time. */
  function begin() {
    if (ready) return;
    ready = true;
    watching.disconnect();
    figure.classList.remove("flame-waiting");
    const summary = figure.closest("details")?.querySelector("summary");
    if (!figure.querySelector("figcaption") && summary?.textContent.trim() !== data.title) figure.append(el("figcaption", {}, data.title));
    if (!total && !data.before) {
      figure.append(el("p", { class: "quiet" }, "Nothing was recorded: the profile has no value above zero."));
      return;
    }
    parts.search = el("input", { type: "search", placeholder: "Search functions", "aria-label": `Search functions in ${data.title}`, autocomplete: "off", spellcheck: "false",
      oninput: () => search(parts.search.value), onkeydown: (event) => {
        if (event.key === "Enter") nextMatch(event.shiftKey ? -1 : 1);
        else if (event.key === "Escape" && parts.search.value) { parts.search.value = ""; search(""); } else return;
        event.preventDefault();
      } });
    parts.found = el("span", { class: "flame-found", role: "status" });
    parts.clear = el("button", { type: "button", class: "plain", hidden: "", onclick: () => { parts.search.value = ""; search(""); parts.search.focus(); } }, "Clear");
    parts.back = el("button", { type: "button", class: "tool", disabled: "", onclick: back }, "Back");
    parts.crumbs = el("ol");
    parts.trail = el("nav", { class: "flame-trail", "aria-label": "Zoomed to" }, parts.back, parts.crumbs);
    parts.name = el("p", { class: "flame-what" });
    parts.place = el("p", { class: "flame-place quiet" });
    parts.words = el("p", { class: "flame-words" });
    parts.bar = el("div", { class: "flame-bar" },
      el("div", { class: "flame-tools" }, el("div", { class: "flame-search" }, parts.search, parts.found, parts.clear), compared ? sides() : ""),
      parts.trail, el("div", { class: "flame-detail" }, parts.name, parts.place, parts.words));
    parts.canvas = el("canvas", { "aria-hidden": "true" });
    parts.hover = el("div", { class: "flame-hover", hidden: "", "aria-hidden": "true" });
    parts.ring = el("div", { class: "flame-ring", hidden: "", "aria-hidden": "true" });
    parts.path = el("div", { class: "offscreen", role: "presentation" });
    parts.graph = el("div", { class: "flame-graph", role: "tree", tabindex: "0", "aria-label": `Flame graph: ${data.title}`, "aria-describedby": `${id}-keys`,
      onkeydown: key, onfocus: () => { if (active < 0 && parts.graph.matches(":focus-visible")) activate(zoomed, { quietly: true }); } },
    parts.canvas, parts.hover, parts.ring, parts.path);
    parts.canvas.addEventListener("pointerdown", (event) => { lastPointer = event.pointerType; });
    parts.canvas.addEventListener("pointermove", hover);
    parts.canvas.addEventListener("pointerleave", leave);
    parts.canvas.addEventListener("click", click);
    parts.table = el("div", { class: "flame-table" });
    figure.append(parts.bar, parts.graph, legend(), el("p", { class: "flame-help quiet", id: `${id}-keys` },
      el("span", { class: "flame-mouse" }, "Click a box to zoom in, a box above to zoom out. Keys: arrows move, Enter zooms, Escape goes back, Home is the root, End the end of the widest path, / searches."),
      el("span", { class: "flame-touch" }, "Tap a box to see what it is, tap it again to zoom.")), note(), parts.table);
    place();
    windowNow = [0, whole];
    crumbs();
    table();
    measure();
    tell(itemOf(0));
    new ResizeObserver(() => { if (Math.floor(parts.graph.clientWidth) !== width) measure(); }).observe(parts.graph);
    const recolour = () => { read(); draw(); };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
    new MutationObserver(recolour).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  }
  function sides() {
    const button = (name, words, about) => el("button", { type: "button", "aria-pressed": String(view === name), title: about, onclick: (event) => {
      if (view === name) return;
      view = name;
      for (const other of event.target.parentNode.children) other.setAttribute("aria-pressed", String(other === event.target));
      place();
      history.length = 0;
      zoomed = 0;
      parts.back.disabled = true;
      windowNow = [0, whole || 1];
      crumbs();
      search(parts.search.value);
      activate(active < 0 || !value[active] ? -1 : active, { quietly: true });
      tell(itemOf(0));
    } }, words);
    return el("div", { class: "flame-sides", role: "group", "aria-label": "Widths" },
      button("after", "After: what grew", "Widths are what is there after"), button("before", "Before: what shrank", "Widths are what was there before"));
  }

  figure.classList.add("flame-waiting");
  const watching = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) begin(); }, { rootMargin: "200px" });
  watching.observe(figure);
  window.addEventListener("beforeprint", print);
  window.addEventListener("afterprint", printedOut);
}
