// The one place that talks to the server. Types come from its OpenAPI (`npm run types`).

import type { components } from "./schema";

type Schemas = components["schemas"];
export type Session = Schemas["SessionTold"];
export type Network = Schemas["NetworkTold"];
export type NetworkDetails = Schemas["NetworkDetails"];
export type Layer = Schemas["LayerTold"];
export type Image = Schemas["ImageTold"];
export type Images = Schemas["ImagesTold"];
export type Prediction = Schemas["PredictionTold"];
export type LayerShown = Schemas["LayerShown"];
export type MapShown = Schemas["MapShown"];
export type Histogram = Schemas["HistogramTold"];
export type UnitShown = Schemas["UnitShown"];
export type Occluded = Schemas["OccludedTold"];
export type Scan = Schemas["ScanTold"];
export type Job = Schemas["JobTold"];
/** What is said of a camera's frame: no route of the OpenAPI, since it comes over a web socket. */
export interface Frame {
  frame: number;
  dropped: number;
  milliseconds: number;
  predictions: Prediction[];
  shown: LayerShown | null;
  error: string | null;
}
export type Rule = "gradient" | "guided" | "deconvnet";
export type Fill = "gray" | "mean" | "zero";
export type Scaling = "own" | "shared";

type Value = string | number | boolean | null | undefined;

/** What the server answered instead, in words that can be shown. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** An address of the API, relative to wherever the pages are served. */
export function address(path: string, query: Record<string, Value> = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `api/${path}${text ? `?${text}` : ""}`;
}

/** The address of a web socket of the API. */
export function socketAddress(path: string, query: Record<string, Value> = {}): string {
  const url = new URL(address(path, query), document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

async function asked(request: Promise<Response>): Promise<Response> {
  let response: Response;
  try {
    response = await request;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refused(0, "The server doesn't answer. Is `convscope explore` still running?");
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => null);
  throw new Refused(response.status, told?.error ?? `The server answered ${response.status}.`);
}

async function get<T>(path: string, query: Record<string, Value> = {}, signal?: AbortSignal): Promise<T> {
  return (await asked(fetch(address(path, query), signal ? { signal } : {}))).json();
}

let session: Promise<Session> | null = null;

/** A picture that the server makes. */
export async function picture(from: string, signal?: AbortSignal): Promise<Blob> {
  return (await asked(fetch(from, signal ? { signal } : {}))).blob();
}

/** What has become of the server since the page was opened: the same, another that knows the page or doesn't, or none. */
export async function server(): Promise<"same" | "other" | "unknown" | "none"> {
  const [known, answer] = await Promise.all([
    session?.catch(() => null),
    fetch(address("session"), { cache: "no-store" }).catch(() => null),
  ]);
  if (!answer) return "none";
  if (!answer.ok) return answer.status === 401 ? "unknown" : "none";
  const now: Session = await answer.json();
  return !known || known.write_token === now.write_token ? "same" : "other";
}

export const api = {
  session(): Promise<Session> {
    session ??= get<Session>("session").catch((error) => {
      // Not for ever: the server may answer again.
      session = null;
      throw error;
    });
    return session;
  },
  networks: () => get<Network[]>("networks"),
  network: (id: string) => get<NetworkDetails>(`networks/${id}`),
  layers: (id: string) => get<Layer[]>(`networks/${id}/layers`),
  scans: () => get<Scan[]>("scans"),
  images: (query: { kind?: string; start?: number; count?: number } = {}) => get<Images>("images", query),
  image: (id: string) => get<Image>(`images/${id}`),
  predictions: (query: { network: string; image: string; top?: number }, signal?: AbortSignal) =>
    get<Prediction[]>("predictions", query, signal),
  layer: (query: { network: string; image: string; layer: string; scale: Scaling }, signal?: AbortSignal) =>
    get<LayerShown>("layer", query, signal),
  unit: (
    query: {
      network: string;
      image: string;
      layer: string;
      channel: number;
      row?: number | undefined;
      column?: number | undefined;
      rule?: Rule;
      scan?: string | null;
    },
    signal?: AbortSignal,
  ) => get<UnitShown>("unit", query, signal),
  occluded: (
    query: {
      network: string;
      image: string;
      top: number;
      left: number;
      height: number;
      width: number;
      fill?: Fill;
      target?: string | null;
      count?: number;
    },
    signal?: AbortSignal,
  ) => get<Occluded>("occluded", query, signal),
  result: <T>(key: string) => get<{ told: T; pictures: string[] }>(`results/${key}`),
  channels: <T>(scan: string, layer: string) => get<T>(`scans/${scan}/channels`, { layer }),

  async upload(file: Blob, name: string): Promise<Image> {
    const { write_header, write_token, upload_limit } = await api.session();
    if (file.size > upload_limit) {
      throw new Refused(413, `${name} has ${file.size} bytes; expected at most ${upload_limit}.`);
    }
    const body = new FormData();
    body.append("file", file, name);
    const sent = fetch(address("images"), { method: "POST", headers: { [write_header]: write_token }, body });
    return (await asked(sent)).json();
  },
  async submit(job: Record<string, unknown>): Promise<Job | null> {
    const headers = { "content-type": "application/json" };
    return (await asked(fetch(address("jobs"), { method: "POST", headers, body: JSON.stringify(job) }))).json();
  },
  /** For a page alone: others that wait for the job still get it. */
  async cancel(id: string, page: string | null): Promise<Job> {
    return (await asked(fetch(address(`jobs/${id}`, { page }), { method: "DELETE" }))).json();
  },

  // Addresses of pictures
  thumbnail: (id: string, side = 128) => address(`images/${id}/thumbnail`, { side }),
  prepared: (network: string, image: string) => address("prepared", { network, image }),
  sprite: (query: { network: string; image: string; layer: string; scale: Scaling }) => address("sprite", query),
  preview: (job: Job) => address(`jobs/${job.id}/preview`, { n: job.previews }),
  savedActivations: (query: { network: string; image: string; layer: string; scale: Scaling }) =>
    address("saved/activations", query),
  savedDriven: (query: { network: string; image: string; target: string; rule: Rule }) =>
    address("saved/driven", query),
  picture: (key: string, name: string) => address(`results/${key}/${name}`),
};

/** What went wrong, in words; "" for what was only given up. */
export function words(error: unknown): string {
  if (error instanceof DOMException && error.name === "AbortError") return "";
  return error instanceof Error ? error.message : String(error);
}
