"use strict";
/* Filter, host details and copy buttons of the report. Every value is written as a text node: hosts are not trusted. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { strings, checks, hosts, mends, statuses, severities, kinds } = data;
  const CHECK = 0, SUBJECT = 1, STATUS = 2, SEVERITY = 3, KIND = 4, REASON = 5, ACTUAL = 6, EXPECTED = 7, EVIDENCE = 8, MEND = 9;
  const STATE_WORDS = { blocker: "blocks", unclear: "not judged", warning: "warning", notice: "not judged, below the gate",
    waived: "waived", pass: "passed", none: "" };
  const STATUS_WORDS = { pass: "pass", fail: "fail", error: "error", unknown: "unknown", notapplicable: "not applicable",
    notselected: "not selected" };
  const NAMES = 24, VARIANTS = 4;
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "class") node.className = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== "" && child !== null));
    return node;
  }
  function icon(name, label = "") {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    svg.setAttribute("class", `icon icon-${name}`);
    svg.setAttribute("viewBox", "0 0 20 20");
    if (label) { svg.setAttribute("role", "img"); svg.setAttribute("aria-label", label); } else svg.setAttribute("aria-hidden", "true");
    use.setAttribute("href", `#i-${name}`);
    svg.append(use);
    return svg;
  }
  const many = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

  /* Results */
  const text = (result, field) => strings[result[field] || 0];
  const stateOf = (result) => result[KIND] >= 0 ? kinds[result[KIND]] : statuses[result[STATUS]] === "pass" ? "pass" : "none";
  const keyOf = (result) => [checks[result[CHECK]].id, statuses[result[STATUS]], severities[result[SEVERITY]],
    result[KIND] >= 0 ? kinds[result[KIND]] : "other"].join(":");
  const groups = new Map();
  hosts.forEach((host, number) => {
    for (const result of host.results) {
      const key = keyOf(result);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push([number, result]);
    }
  });

  /* Pieces that the page and this script both make */
  function commandBox(command) {
    return withCopy(el("div", { class: "command" }, el("pre", { tabindex: "0", "aria-label": "Command" }, el("code", {}, command))));
  }
  function withCopy(box) {
    const button = el("button", { type: "button", class: "copy" }, "Copy");
    button.addEventListener("click", async () => {
      const command = $("code", box).textContent;
      let copied = true;
      try { await navigator.clipboard.writeText(command); } catch {
        const area = el("textarea", { class: "offscreen" });
        area.value = command;
        box.append(area);
        area.select();
        copied = document.execCommand("copy");
        area.remove();
        button.focus();
      }
      button.textContent = copied ? "Copied" : "Select it";
      if (copied) say("Command copied.");
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
    box.append(button);
    return box;
  }
  function chip(number) {
    return el("a", { class: "chip", href: `#host-${number}` }, hosts[number].name);
  }
  function evidence(result, from = "") {
    const found = text(result, ACTUAL), wanted = text(result, EXPECTED), proof = result[EVIDENCE] || [];
    if (!found && !wanted && !proof.length) return "";
    return el("details", { class: "evidence" }, el("summary", {}, "Evidence" + (from && ` from ${from}`)),
      found || wanted ? el("dl", { class: "values" },
        found ? el("div", {}, el("dt", {}, "Found"), el("dd", {}, found)) : "",
        wanted ? el("div", {}, el("dt", {}, "Wanted"), el("dd", {}, wanted)) : "") : "",
      proof.length ? el("ul", { class: "proof" }, ...proof.map((item) => el("li", {}, strings[item]))) : "");
  }
  function variants(members, single = false) {
    const same = new Map();
    for (const [number, result] of members) {
      const key = `${result[SUBJECT]} ${result[REASON] || 0}`;
      if (!same.has(key)) same.set(key, { result, numbers: new Set() });
      same.get(key).numbers.add(number);
    }
    const list = [...same.values()].sort((a, b) => b.numbers.size - a.numbers.size);
    const box = el("div", { class: "variants" });
    const show = (some) => some.map(({ result, numbers }) => {
      const all = [...numbers];
      const subject = text(result, SUBJECT);
      const chips = el("p", { class: "chips" }, ...(subject
        ? [el("span", { class: "subject" }, subject), " ", el("span", { class: "quiet" }, "on"), " "]
        : [el("span", { class: "offscreen" }, "Hosts: ")]), ...all.slice(0, NAMES).flatMap((number) => [chip(number), " "]));
      if (all.length > NAMES) {
        chips.append(el("button", { type: "button", class: "plain", onclick: (event) => {
          event.target.replaceWith(...all.slice(NAMES).map(chip));
        } }, `and ${(all.length - NAMES).toLocaleString("en")} more`));
      }
      return el("div", { class: "variant" }, single && text(result, REASON).length <= 300 ? "" : el("p", { class: "reason" }, text(result, REASON)),
        chips, evidence(result, all.length > 1 ? hosts[all[0]].name : ""));
    });
    box.append(...show(list.slice(0, VARIANTS)));
    if (list.length > VARIANTS) {
      box.append(el("p", { class: "more" }, el("button", { type: "button", class: "plain", onclick: (event) => {
        const rest = show(list.slice(VARIANTS));
        event.target.parentNode.replaceWith(...rest);
        const first = $("a", rest[0]);
        if (first) first.focus();
      } }, `Show ${many(list.length - VARIANTS, "more reason")}`)));
    }
    return box;
  }

  /* The row of a host unfolds to everything known about it */
  function resultLine(result, host) {
    const check = checks[result[CHECK]], state = stateOf(result), subject = text(result, SUBJECT);
    const status = statuses[result[STATUS]];
    const name = [check.title, " ", el("code", { class: "id" }, check.id), " ", subject ? el("span", { class: "subject" }, subject) : ""];
    const line = el("div");
    if (result[KIND] >= 0) {
      line.append(el("p", { class: "reason" }, el("span", { class: "title" }, text(result, REASON)), " ",
        el("span", { class: `severity sev-${severities[result[SEVERITY]]}` }, severities[result[SEVERITY]]),
        status === "fail" ? "" : el("span", { class: "status" }, STATUS_WORDS[status])), el("p", { class: "name" }, ...name));
    } else {
      line.append(el("p", {}, ...name));
      if (result[REASON]) line.append(el("p", { class: "quiet reason" }, text(result, REASON)));
    }
    const mend = mends[result[MEND]];
    if (mend) {
      if (mend.length > 3) line.append(commandBox(strings[mend[3]] + host.limit + strings[mend[4]]));
      if (mend[0]) line.append(el("p", {}, strings[mend[0]]));
      if (mend[1]) line.append(commandBox(strings[mend[1]]));
      if (mend[2]) line.append(el("p", { class: "role" }, "Role ", el("code", {}, strings[mend[2]])));
    }
    const proof = evidence(result);
    if (proof) line.append(proof);
    return el("li", { class: "result" }, icon(state, STATE_WORDS[state] || STATUS_WORDS[status]), line);
  }
  function hostDetail(number) {
    const host = hosts[number], cell = el("td", { colspan: "99" });
    const facts = [host.kernel && `kernel ${host.kernel}`, host.ms !== null && `verified in ${(host.ms / 1000).toFixed(1)} s`];
    cell.append(el("p", { class: "quiet" }, facts.filter(Boolean).join(" · ")));
    if (host.error) cell.append(el("p", {}, host.error));
    if (host.services.length) {
      cell.append(el("h3", {}, "Services"), el("ul", { class: "services" }, ...host.services.map((service) => el("li", {},
        el("b", {}, service.name), [service.unit !== service.name && service.unit, service.state, service.go,
          service.revision && `revision ${service.revision}`, service.container && `in container ${service.container}`,
          service.declared ? "" : "not declared", ...service.listeners].filter(Boolean).join(" · ")))));
    }
    if (host.changes) {
      cell.append(el("h3", {}, data.check ? "What would change" : "What was changed"), el("ul", { class: "services" },
        ...host.changes.map(([action, path, detail, role]) => el("li", {}, `${strings[action]} `, el("code", {}, strings[path]), " ",
          el("span", { class: "quiet" }, [strings[detail], role && `by ${strings[role]}`].filter(Boolean).join(" · "))))));
    }
    const open = host.results.filter((result) => result[KIND] >= 0).sort((a, b) => a[KIND] - b[KIND] || b[SEVERITY] - a[SEVERITY]);
    if (open.length) cell.append(el("h3", {}, "Findings"), el("ul", {}, ...open.map((result) => resultLine(result, host))));
    for (const [status, words] of [["pass", "passed"], ["notapplicable", "not applicable"], ["notselected", "not selected"]]) {
      const some = host.results.filter((result) => statuses[result[STATUS]] === status);
      if (!some.length) continue;
      const box = el("details", { class: "passed" }, el("summary", {}, `${many(some.length, "check result")} ${words}`));
      box.addEventListener("toggle", () => {
        if (box.open && box.childElementCount === 1) box.append(el("ul", {}, ...some.map((result) => resultLine(result, host))));
      });
      cell.append(box);
    }
    cell.append(el("p", { class: "only" }, el("button", { type: "button", class: "plain", onclick: () => {
      form.elements.host.value = host.name;
      apply();
      $("#filters").scrollIntoView();
    } }, "Show only the findings of this host")));
    return el("tr", { class: "detail", id: `detail-${number}` }, cell);
  }
  function unfold(row, open) {
    const button = $(".expand", row), number = Number(row.dataset.host);
    if (!button || (button.getAttribute("aria-expanded") === "true") === open) return;
    button.setAttribute("aria-expanded", String(open));
    row.classList.toggle("current", open);
    if (open) row.after(hostDetail(number)); else row.nextElementSibling.remove();
  }

  /* Filter */
  const form = $("#filters"), rows = $$(".matrix tr[data-host]"), cards = $$("#findings .card[data-key]");
  const statics = new Map(cards.map((card) => [card, $(".variants", card)]));
  const single = new Map(cards.map((card) => [card, !$(".variant > .reason", card)]));  // the heading says its only reason
  const silent = $$("[data-silent]");
  const others = $("#others");
  const OTHER = ["pass", "notapplicable", "notselected"];
  let live;
  const say = (words) => { clearTimeout(live); live = setTimeout(() => { $("#matches").textContent = words; }, 150); };
  const checked = (name) => $$(`input[name="${name}"]:checked`, form).map((box) => box.value);

  function state() {
    return { q: form.elements.q.value.trim().toLowerCase(), host: form.elements.host.value.trim().toLowerCase(),
      severity: checked("severity"), status: checked("status") };
  }
  function matcher(wanted) {
    const words = wanted.q.split(/\s+/).filter(Boolean);
    const exact = hosts.some((host) => host.name.toLowerCase() === wanted.host);
    const hostFits = hosts.map((host) => {
      const name = host.name.toLowerCase();
      return !wanted.host || (exact ? name === wanted.host : name.includes(wanted.host));
    });
    const said = checks.map((check) => `${check.id} ${check.title}`.toLowerCase());
    const resultFits = (number, result) => {
      if (!hostFits[number]) return false;
      if (wanted.severity.length && !wanted.severity.includes(severities[result[SEVERITY]])) return false;
      const status = statuses[result[STATUS]];
      if (wanted.status.length) {
        const waived = result[KIND] >= 0 && kinds[result[KIND]] === "waived";
        if (!wanted.status.includes(waived ? "waived" : status)) return false;
      }
      if (!words.length) return true;
      const hay = `${said[result[CHECK]]} ${text(result, SUBJECT)} ${text(result, REASON)} ${hosts[number].name}`.toLowerCase();
      return words.every((word) => hay.includes(word));
    };
    return { hostFits, resultFits, words };
  }

  function apply({ save = true } = {}) {
    const wanted = state();
    const active = Boolean(wanted.q || wanted.host || wanted.severity.length || wanted.status.length);
    const { hostFits, resultFits, words } = matcher(wanted);
    const fitting = new Set();
    let shown = 0;
    for (const card of cards) {
      const members = groups.get(card.dataset.key) || [];
      const some = active ? members.filter(([number, result]) => resultFits(number, result)) : members;
      card.hidden = some.length === 0;
      if (some.length) shown += 1;
      for (const [number] of some) fitting.add(number);
      const fresh = !active || some.length === members.length ? statics.get(card) : some.length ? variants(some, single.get(card)) : null;
      if (fresh) $(".variants", card).replaceWith(fresh);
      const touched = new Set((some.length ? some : members).map(([number]) => number)).size;
      const all = new Set(members.map(([number]) => number)).size;
      $(".on", card).textContent = touched === all ? many(all, "host") : `${touched} of ${many(all, "host")}`;
    }
    for (const section of $$("#findings > section:not(#others)")) section.hidden = !$(".card:not([hidden])", section);
    shown += showOthers(wanted, resultFits, fitting);
    let seen = 0;
    for (const row of rows) {
      const number = Number(row.dataset.host);
      const onlyNames = !wanted.severity.length && !wanted.status.length;
      const named = onlyNames && hostFits[number] && words.every((word) => hosts[number].name.toLowerCase().includes(word));
      row.hidden = active && !named && !fitting.has(number);
      if (row.hidden) unfold(row, false); else seen += 1;
    }
    for (const item of silent) {
      const row = $(`#host-${item.dataset.silent}`);
      item.hidden = Boolean(row && row.hidden);
    }
    const silentSection = silent.length && silent[0].closest("section");
    if (silentSection) silentSection.hidden = silent.every((item) => item.hidden);
    $("#nomatch").hidden = shown > 0 || seen > 0;
    $("#clear").hidden = !active;
    say(active ? `${many(shown, "finding")} and ${many(seen, "host")} match.` : "");
    if (save) store(wanted, active);
  }
  function showOthers(wanted, resultFits, fitting) {
    const list = $(".list", others);
    list.replaceChildren();
    others.hidden = true;
    if (!wanted.status.some((status) => OTHER.includes(status))) return 0;
    let shown = 0;
    for (const [key, members] of groups) {
      if (!key.endsWith(":other")) continue;
      const some = members.filter(([number, result]) => resultFits(number, result));
      if (!some.length) continue;
      shown += 1;
      for (const [number] of some) fitting.add(number);
      const result = some[0][1], check = checks[result[CHECK]], status = statuses[result[STATUS]];
      const card = el("details", { class: "card kind-other" }, el("summary", {},
        icon(status === "pass" ? "pass" : "none"),
        el("span", { class: "what" }, el("span", { class: "title", role: "heading", "aria-level": "3" }, check.title),
          " ", el("code", { class: "id" }, check.id)),
        el("span", { class: "marks" }, el("span", { class: "status" }, STATUS_WORDS[status]),
          el("span", { class: "on" }, many(new Set(some.map(([number]) => number)).size, "host")))));
      card.addEventListener("toggle", () => {
        if (card.open && card.childElementCount === 1) card.append(el("div", { class: "body" }, variants(some),
          check.why ? el("div", { class: "advice" }, el("h4", {}, "Why it matters"), el("p", {}, check.why)) : ""));
      });
      list.append(card);
    }
    others.hidden = shown === 0;
    $(".number", others).textContent = shown;
    return shown;
  }

  /* The filter lives in the address, so that it can be sent to somebody */
  let own = "";
  function store(wanted, active) {
    const parts = new URLSearchParams();
    for (const name of ["q", "host"]) if (form.elements[name].value.trim()) parts.set(name, form.elements[name].value.trim());
    for (const name of ["severity", "status"]) if (wanted[name].length) parts.set(name, wanted[name].join(","));
    own = active ? `#${parts}` : "";
    if (location.hash === own || (!active && !location.hash.includes("="))) return;
    try { history.replaceState(null, "", own || location.pathname + location.search); } catch { /* a sandboxed frame */ }
  }
  function restore() {
    const hash = location.hash;
    if (hash.includes("=")) {
      const parts = new URLSearchParams(hash.slice(1));
      for (const name of ["q", "host"]) form.elements[name].value = parts.get(name) || "";
      for (const name of ["severity", "status"]) {
        const values = (parts.get(name) || "").split(",");
        for (const box of $$(`input[name="${name}"]`, form)) box.checked = values.includes(box.value);
      }
      apply({ save: false });
      return;
    }
    reveal(hash);
  }
  function reveal(hash) {
    const target = /^#[\w-]+$/.test(hash) ? document.getElementById(hash.slice(1)) : null;
    if (!target) return;
    if (target.closest("[hidden]")) reset();
    if (target.matches("details")) { target.open = true; $("summary", target).focus({ preventScroll: true }); }
    if (target.matches("tr[data-host]")) { unfold(target, true); $(".expand", target).focus({ preventScroll: true }); }
    target.scrollIntoView();
  }
  function reset() {
    form.reset();
    apply();
  }

  /* Wiring */
  for (const row of rows) {
    const name = $(".hostname", row);
    const button = el("button", { type: "button", class: "expand", "aria-expanded": "false" }, name.textContent);
    button.addEventListener("click", () => unfold(row, button.getAttribute("aria-expanded") !== "true"));
    name.replaceChildren(button);
  }
  for (const box of $$(".command")) withCopy(box);
  for (const [card, box] of statics) {
    if (!$(".more", box) && !$(".chips > .quiet", box)) continue;
    const full = variants(groups.get(card.dataset.key) || [], single.get(card));  // with buttons that show what the plain page only counts
    box.replaceWith(full);
    statics.set(card, full);
  }
  $("#host-names").append(...hosts.map((host) => el("option", { value: host.name })));
  let typing;
  form.addEventListener("input", (event) => {
    clearTimeout(typing);
    if (event.target.type === "search" && hosts.length > 50) typing = setTimeout(apply, 120); else apply();
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
  $("#clear").addEventListener("click", () => { reset(); form.elements.q.focus(); });
  for (const button of $$("[data-reset]")) button.addEventListener("click", () => { reset(); form.elements.q.focus(); });
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (link.getAttribute("href") === location.hash) reveal(location.hash);
  });
  window.addEventListener("hashchange", () => { if (location.hash !== own) restore(); });
  document.addEventListener("keydown", (event) => {
    const typingNow = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName) && document.activeElement.type !== "checkbox";
    if (event.key === "/" && !typingNow && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      form.elements.q.focus();
    }
  });

  const root = document.documentElement, theme = $("#theme"), system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; theme.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`); };
  try { root.dataset.theme = localStorage.getItem("preflight-theme") || ""; } catch { /* storage is off in some viewers */ }
  if (!root.dataset.theme) delete root.dataset.theme;
  theme.removeAttribute("aria-pressed");
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("preflight-theme", root.dataset.theme); } catch { /* as above */ }
    label();
  });
  system.addEventListener("change", label);
  label();
  $("#print").addEventListener("click", () => window.print());
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = $$("#findings details:not([open]), .change:not([open])");
    for (const box of folded) box.open = true;
  });
  window.addEventListener("afterprint", () => { for (const box of folded) box.open = false; folded = []; });

  form.hidden = false;
  $(".tools").hidden = false;
  apply({ save: false });
  restore();
})();
