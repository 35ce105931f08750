// Small words for making and changing elements. Text always goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || (value === false && !name.startsWith("aria-"))) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name === "style") for (const [key, part] of Object.entries(value)) node.style.setProperty(key, part);
    else node.setAttribute(name, value === true && !name.startsWith("aria-") ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" })) svg.setAttribute(key, value);
  for (const d of PATHS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

export function iconButton(name, label, onclick, attributes = {}) {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, "data-tip": label, onclick, ...attributes }, icon(name));
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function toggle(node, name, on) {
  if (node.hasAttribute(name) !== Boolean(on)) node.toggleAttribute(name, Boolean(on));
}

// Runs at most once per frame and at most `rate` times a second, the last call always counted.
export function paced(act, rate = 12) {
  let waiting = false;
  let last = 0;
  return () => {
    if (waiting) return;
    waiting = true;
    const run = () => {
      waiting = false;
      last = performance.now();
      act();
    };
    const wait = Math.max(0, last + 1000 / rate - performance.now());
    // A hidden page gets no frames.
    if (wait > 16 || document.hidden) setTimeout(run, wait);
    else requestAnimationFrame(run);
  };
}

export function store(key, value) {
  try {
    if (value === undefined) return localStorage.getItem(`likeness-${key}`);
    if (value === null) localStorage.removeItem(`likeness-${key}`);
    else localStorage.setItem(`likeness-${key}`, value);
  } catch {
    // A browser that keeps nothing still shows everything.
  }
  return value ?? null;
}

const PATHS = {
  sun: ["M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8Z", "M12 2.5v2M12 19.5v2M4.2 4.2l1.4 1.4M18.4 18.4l1.4 1.4M2.5 12h2M19.5 12h2M4.2 19.8l1.4-1.4M18.4 5.6l1.4-1.4"],
  moon: ["M20 14.5A8.2 8.2 0 0 1 9.5 4a8.2 8.2 0 1 0 10.5 10.5Z"],
  auto: ["M4 5h16v11H4zM9 20h6M12 16v4"],
  close: ["M6 6l12 12M18 6L6 18"],
  retry: ["M4 12a8 8 0 0 1 14-5.3L20.5 9M20.5 4v5h-5", "M20 12a8 8 0 0 1-14 5.3L3.5 15M3.5 20v-5h5"],
  last: ["M12 4v11M7 11l5 5 5-5M5 20h14"],
  front: ["M12 20V9M7 13l5-5 5 5M5 4h14"],
  trash: ["M4 7h16M9 7V4.5h6V7M6.5 7l1 13h9l1-13M10 11v5M14 11v5"],
  restore: ["M4 9.5h10a6 6 0 0 1 0 12H9M4 9.5l4.5-4.5M4 9.5 8.5 14"],
  down: ["M12 5v13M6.5 12.500 12 18l5.500-5.500"],
  download: ["M12 4v11M7 11l5 5 5-5M5 20h14"],
  copy: ["M9 9h11v11H9z", "M15 9V4H4v11h5"],
  sliders: ["M4 7h9M17 7h3M4 17h3M11 17h9", "M15 4.8a2.2 2.2 0 1 0 0 4.4 2.2 2.2 0 0 0 0-4.4ZM9 14.8a2.2 2.2 0 1 0 0 4.4 2.2 2.2 0 0 0 0-4.4Z"],
  search: ["M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM20 20l-4.8-4.8"],
  check: ["M5 12.5l4.5 4.5L19 7.5"],
  left: ["M15 5l-7 7 7 7"],
  right: ["M9 5l7 7-7 7"],
  down: ["M5 9l7 7 7-7"],
  clock: ["M12 3.500a8.500 8.500 0 1 0 0 17 8.500 8.500 0 0 0 0-17ZM12 7.500v5l3.200 2"],
  warn: ["M12 4 2.8 20h18.4L12 4ZM12 10v4.5M12 17.2v.3"],
  picture: ["M4 5h16v14H4zM4 16l5-5 4 4 2.5-2.5L20 17M15.5 8.2a1.3 1.3 0 1 0 0 2.6 1.3 1.3 0 0 0 0-2.6Z"],
  grain: ["M4 4h6v6H4zM14 14h6v6h-6zM14 4h6v6h-6zM4 14h6v6H4z"],
  smooth: ["M3 15c3.5 0 3.5-6 7-6s3.5 6 7 6 2-2 4-3"],
  minus: ["M6 12h12"],
  plus: ["M12 6v12M6 12h12"],
  sparkle: ["M12 3.5c.6 4.8 3.200 7.500 8 8-4.800.600-7.400 3.200-8 8-.600-4.800-3.200-7.400-8-8 4.800-.500 7.400-3.200 8-8Z"],
  heart: ["M12 20.200C5.500 16 3 12.800 3 9.300A4.700 4.700 0 0 1 12 7.300a4.700 4.700 0 0 1 9 2c0 3.500-2.500 6.700-9 10.900Z"],
  filter: ["M4 6h16M7 12h10M10 18h4"],
  compare: ["M12 3v18M4 6h5M4 18h5M4 6v12M15 6h5v12h-5"],
  parcel: ["M4 8l8-4 8 4v8l-8 4-8-4ZM4 8l8 4 8-4M12 12v8"],
  reference: ["M4 5h11v11H4zM8 19.500h11.500V8.500"],
  variations: ["M4 4h7v7H4zM13 13h7v7h-7zM13 4h7v7h-7zM4 13h7v7H4z"],
  enlarge: ["M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7"],
  swap: ["M4 8h14M14 4l4 4-4 4M20 16H6M10 12l-4 4 4 4"],
  chart: ["M4 20h16M7 16v-5M12 16V6M17 16v-8"],
  tray: ["M4 6h16M4 12h16M4 18h10"],
  sidebar: ["M4 5h16v14H4zM15 5v14"],
  person: ["M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8Z", "M4.5 20.5c.6-4 3.600-6 7.500-6s6.900 2 7.500 6"],
  keyboard: ["M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M7 14h10"],
  pencil: ["M5 19l.8-4L16 4.800 19.200 8 9 18.200 5 19ZM13.500 7.300l3.200 3.200"],
  archive: ["M4 5h16v4H4zM5.500 9v10.500h13V9M10 13h4"],
  upload: ["M12 16V5M7 9.500l5-5 5 5M5 20h14"],
  lock: ["M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3"],
  pause: ["M9 5v14M15 5v14"],
  play: ["M7 5l12 7-12 7Z"],
  tick: ["M12 3.500a8.500 8.500 0 1 0 0 17 8.500 8.500 0 0 0 0-17ZM8 12.300l2.800 2.800L16 9.500"],
};
