// Maps come as pictures in palette colours. Here colours become levels again, and levels values and other colours.

import { api, picture } from "./api";

export const LEVELS = 254;
/** The level of what is not a number, or not known yet. */
export const INVALID = 255;

export interface Palette {
  /** 256 colours as a canvas holds them: 0xAABBGGRR. */
  colours: Uint32Array;
  levels: Map<number, number>;
}

export interface Palettes {
  sequential: Palette;
  diverging: Palette;
}

/** Maps as levels: `levels[row * columns + column]` stands for low + (high − low) · level / 254. */
export interface Levels {
  levels: Uint8Array;
  rows: number;
  columns: number;
}

function packed(hex: string): number {
  const rgb = parseInt(hex.slice(1), 16);
  return (0xff000000 | ((rgb & 0xff) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0;
}

export function palette(colours: readonly string[], invalid: string): Palette {
  const all = Uint32Array.from([...colours, invalid].map(packed));
  const levels = new Map<number, number>();
  // Where two steps have one colour, either will do.
  all.forEach((colour, level) => levels.set(colour, level));
  return { colours: all, levels };
}

let known: Promise<Palettes> | null = null;

export function palettes(): Promise<Palettes> {
  known ??= api
    .session()
    .then(({ palettes: { sequential, diverging, invalid } }) => ({
      sequential: palette(sequential, invalid),
      diverging: palette(diverging, invalid),
    }))
    .catch((error) => {
      known = null;
      throw error;
    });
  return known;
}

/** The levels of a picture in palette colours. */
export async function read(address: string, diverging: boolean, signal?: AbortSignal): Promise<Levels> {
  const blob = address.startsWith("data:") ? decoded(address) : await picture(address, signal);
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const levels = levelsOf(bitmap, (await palettes())[diverging ? "diverging" : "sequential"]);
  bitmap.close();
  return levels;
}

/** What an address holds itself; the page's content policy lets nothing else than the server be fetched. */
function decoded(address: string): Blob {
  const bytes = atob(address.slice(address.indexOf(",") + 1));
  return new Blob([Uint8Array.from(bytes, (each) => each.charCodeAt(0))]);
}

export function levelsOf(bitmap: ImageBitmap, from: Palette): Levels {
  const { width: columns, height: rows } = bitmap;
  const canvas = new OffscreenCanvas(columns, rows);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(bitmap, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, columns, rows).data.buffer);
  const levels = new Uint8Array(pixels.length);
  for (let at = 0; at < pixels.length; at++) levels[at] = from.levels.get(pixels[at]!) ?? INVALID;
  return { levels, rows, columns };
}

/** The value that a level stands for; NaN where there is none. */
export function value(level: number, low: number, high: number): number {
  return level === INVALID ? NaN : low + ((high - low) * level) / LEVELS;
}

/** A map in colours, on its own scale or, with `ends`, on another; what is not known yet grey, or `clear`. */
export function coloured(
  map: Levels,
  scale: { low: number; high: number },
  colours: Palette,
  ends: { low: number; high: number } = scale,
  clear = false,
): ImageData {
  const table = new Uint32Array(256);
  for (let level = 0; level < 255; level++) {
    const position = (value(level, scale.low, scale.high) - ends.low) / (ends.high - ends.low || 1);
    table[level] = colours.colours[Math.round(LEVELS * Math.min(1, Math.max(0, position)))]!;
  }
  table[INVALID] = clear ? 0 : colours.colours[INVALID]!;
  const pixels = new Uint32Array(map.levels.length);
  for (let at = 0; at < pixels.length; at++) pixels[at] = table[map.levels[at]!]!;
  return new ImageData(new Uint8ClampedArray(pixels.buffer), map.columns, map.rows);
}
