// What is looked at, which is what the address says: every state can be linked, and the back button works.

import type { Fill, Rule, Scaling } from "./api";

export const PAGES = ["look", "explain"] as const;
export type Page = (typeof PAGES)[number];

/** All that an address holds beside its page. */
export interface Fields {
  network: string | null;
  image: string | null;
  target: string | null;
  layer: string | null;
  channel: number | null;
  /** The unit's place in its channel, "row,column"; where it is strongest if there is none. */
  place: string | null;
  /** A unit that stays while others are browsed, "layer:channel". */
  pin: string | null;
  rule: Rule;
  sort: "index" | "activation" | "selectivity";
  scale: Scaling;
  /** Methods side by side, with commas. */
  methods: string;
  /** The occluder in hand, "top,left,side" in pixels, and what it is filled with. */
  hand: string | null;
  fill: Fill;
  /** How the map of occlusion is made, "window,stride,fill"; by the picture's size if there is none. */
  occlusion: string | null;
  /** How backward rules treat activations that are no rectifiers. */
  smooth: "positive" | null;
  /** The layer of class activation maps. */
  cam: string | null;
  /** What is asked of each map, with commas: "verdict", "curves". */
  checks: string;
  /** How much of the picture shows through maps, in percent. */
  through: number;
  tab: "methods" | "mistakes";
}

const USUAL: Fields = {
  network: null,
  image: null,
  target: null,
  layer: null,
  channel: null,
  place: null,
  pin: null,
  rule: "gradient",
  sort: "index",
  scale: "own",
  methods: "occlusion,grad-cam,integrated-gradients",
  hand: null,
  fill: "gray",
  occlusion: null,
  smooth: null,
  cam: null,
  checks: "",
  through: 40,
  tab: "methods",
};

const CHOICES: { [name in keyof Fields]?: readonly string[] } = {
  rule: ["gradient", "guided", "deconvnet"],
  sort: ["index", "activation", "selectivity"],
  scale: ["own", "shared"],
  fill: ["gray", "mean", "zero"],
  smooth: ["positive"],
  tab: ["methods", "mistakes"],
};

/** The page and fields of an address; what it doesn't say, or says wrongly, is as usual. */
export function parsed(path: string, search: string): { page: Page; fields: Fields } {
  const last = path.split("/").at(-1) ?? "";
  const page = PAGES.find((each) => each === last) ?? "look";
  const query = new URLSearchParams(search);
  const fields: Record<string, unknown> = { ...USUAL };
  for (const name of Object.keys(USUAL) as (keyof Fields)[]) {
    const text = query.get(name);
    if (text === null) continue;
    if (name === "channel" || name === "through") {
      if (/^\d{1,9}$/.test(text)) fields[name] = Number(text);
    } else if (!CHOICES[name] || CHOICES[name].includes(text)) fields[name] = text;
  }
  return { page, fields: fields as unknown as Fields };
}

/** The address of a page with these fields, without those that are as usual. */
export function written(page: Page, fields: Fields): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== null && value !== USUAL[name as keyof Fields]) query.set(name, String(value));
  }
  const text = query.toString();
  return page + (text ? `?${text}` : "");
}

class View {
  page = $state<Page>("look");
  fields = $state<Fields>({ ...USUAL });

  constructor() {
    if (typeof window === "undefined") return;
    this.#read();
    window.addEventListener("popstate", () => this.#read());
  }

  /** Go somewhere: `changes` to the fields, and the page. A step that the back button takes back, unless `replace`. */
  go(changes: Partial<Fields> = {}, options: { page?: Page; replace?: boolean } = {}): void {
    const page = options.page ?? this.page;
    const fields = { ...$state.snapshot(this.fields), ...changes };
    const to = written(page, fields);
    if (to === written(this.page, $state.snapshot(this.fields)) && !options.replace) return;
    history[options.replace ? "replaceState" : "pushState"](null, "", to);
    this.page = page;
    Object.assign(this.fields, changes);
  }

  /** Where a link leads that changes these fields. */
  link(page: Page, changes: Partial<Fields> = {}): string {
    return written(page, { ...this.fields, ...changes });
  }

  #read(): void {
    const { page, fields } = parsed(location.pathname, location.search);
    this.page = page;
    Object.assign(this.fields, fields);
  }
}

export const view = new View();
