// The methods that explain an answer: what each is called, shows and hides, and how their maps are compared.

import type { Fill } from "./api";
import { short } from "./format";

export interface Method {
  title: string;
  /** Two sentences: what it shows, and when it misleads. */
  shows: string;
  misleads: string;
  /** Whether it takes many passes of the network, so that others better go first. */
  long: boolean;
  options: readonly ("smooth" | "cam" | "occlusion")[];
}

const METHODS: Record<string, Method> = {
  occlusion: {
    title: "Occlusion",
    shows: "Covers one place after another with a square and shows by how much the score falls: what the answer needs.",
    misleads:
      "Where two parts can stand in for each other it finds neither, and the square's size and fill change what it finds.",
    long: true,
    options: ["occlusion"],
  },
  "grad-cam": {
    title: "Grad-CAM",
    shows:
      "Weighs the channels of a late layer by how much the score rises with each: roughly where the answer is seen.",
    misleads:
      "It is as coarse as that layer, and leaves out whatever speaks against the answer; an empty map means that nothing there speaks for it.",
    long: false,
    options: ["cam"],
  },
  "integrated-gradients": {
    title: "Integrated gradients",
    shows: "Shares the score's rise from a black picture to this one among the pixels, so that the parts add up to it.",
    misleads: "All is told against black: what is black in the picture counts nothing, however much it matters.",
    long: true,
    options: [],
  },
  saliency: {
    title: "Saliency",
    shows: "The gradient: with which pixels the score would move most if they changed a little.",
    misleads: "It tells of tiny changes only, is speckled, and passes over parts of which the network is already sure.",
    long: false,
    options: [],
  },
  "smooth-grad": {
    title: "SmoothGrad",
    shows: "The mean of the gradients of many noisy copies: saliency with less speckle.",
    misleads: "It answers for a neighbourhood of noise rather than for this picture, and how wide that is was chosen.",
    long: true,
    options: [],
  },
  guided: {
    title: "Guided backprop",
    shows: "Follows the gradient back along positive paths only: the fine structure that the network sees at all.",
    misleads: "It looks much the same for every class and for half-forgotten weights, so it doesn't say why.",
    long: false,
    options: ["smooth"],
  },
  deconvnet: {
    title: "Deconvnet",
    shows: "Runs the network backwards, keeping what is positive on the way: structure that excites it.",
    misleads: "Much of what it draws is made by the way back itself and hardly depends on the class.",
    long: false,
    options: ["smooth"],
  },
  "guided-grad-cam": {
    title: "Guided Grad-CAM",
    shows: "Guided backprop where Grad-CAM is large: fine structure at the place of the answer.",
    misleads: "The place is from the one and the texture from the other; the texture is still not a reason.",
    long: false,
    options: ["smooth", "cam"],
  },
};

export const NAMES: readonly string[] = Object.keys(METHODS);

export function method(name: string): Method {
  return METHODS[name]!;
}

/** The methods that an address names, each once, in its order; what it names wrongly is left out. */
export function chosen(text: string): string[] {
  return [...new Set(text.split(","))].filter((each) => NAMES.includes(each));
}

/** With a name added at the end, or taken away. */
export function toggled(text: string, name: string): string {
  const names = text ? text.split(",") : [];
  return (names.includes(name) ? names.filter((each) => each !== name) : [...names, name]).join(",");
}

/** A target as it is read: classes by their labels, where they have any. */
export function named(target: string, labels: readonly string[] | null | undefined): string {
  return target.replace(/\bclass:(\d+)/g, (_, index) => {
    const label = labels?.[Number(index)];
    return label === undefined ? `class ${index}` : short(label);
  });
}

/** How a class is asked about: by its label, if that can be nothing else; else by its number. */
export function targetOf(index: number, labels: readonly string[] | null | undefined): string {
  const label = labels?.[index] ?? "";
  const plain = /^[^:@]+$/.test(label) && !/ - /.test(label) && labels!.filter((each) => each === label).length === 1;
  return plain ? label : `class:${index}`;
}

/** What is asked, as a question. */
export function question(target: string, labels: readonly string[] | null | undefined): string {
  // Labels may hold what stands between targets.
  const [one, other, ...more] = target.split(" - ").map((each) => named(each, labels));
  if (one && other && !more.length) return `Why ${one} rather than ${other}?`;
  const read = named(target, labels);
  return /^(?!class:).*:/.test(target) && !labels?.includes(target) ? `What drives ${read}?` : `Why ${read}?`;
}

export interface Covering {
  window: number;
  stride: number;
  fill: Fill;
}

/** How occlusion is done: what the address says of it, and else a seventh of the picture in steps of a quarter. */
export function covering(text: string | null, size: readonly number[]): Covering {
  const side = Math.min(...size);
  const usual = Math.max(1, Math.floor(side / 7));
  const [window, stride, fill] = (text ?? "").split(",");
  const within = (given: string | undefined, fallback: number) =>
    given !== undefined && /^\d{1,6}$/.test(given) ? Math.min(side, Math.max(1, Number(given))) : fallback;
  const fills: readonly string[] = ["gray", "mean", "zero"];
  return {
    window: within(window, usual),
    stride: within(stride, Math.max(1, Math.floor(usual / 4))),
    fill: (fills.includes(fill ?? "") ? fill : "gray") as Fill,
  };
}

export interface Scale {
  low: number;
  high: number;
  diverging: boolean;
  unit: string;
}

export interface Comparison {
  /** What is compared, in words. */
  words: string;
  /** The ends on which a map is drawn; undefined where it has its own. */
  ends: (map: Scale) => { low: number; high: number; diverging: boolean } | undefined;
  /** The scale as its legend says it. */
  legend: (map: Scale) => Scale;
}

const largest = (map: Scale) => Math.max(Math.abs(map.low), Math.abs(map.high));

/** How the colours of several maps are to be read together. */
export function compared(maps: readonly Scale[], shared: boolean): Comparison {
  if (!shared) {
    return {
      words: "Each map has its own scale: the same colour may mean another value in the next map.",
      ends: () => undefined,
      legend: (map) => map,
    };
  }
  const diverging = maps.some((each) => each.diverging);
  const from = (size: number) => ({ low: diverging ? -size : 0, high: size, diverging });
  const units = new Set(maps.map((each) => each.unit));
  if (units.size < 2) {
    const ends = from(Math.max(...maps.map(largest), Number.MIN_VALUE));
    return {
      words: `One scale for all maps${maps.length ? `, in ${[...units][0]}` : ""}: the same colour is the same value.`,
      ends: () => ends,
      legend: (map) => ({ ...ends, unit: map.unit }),
    };
  }
  return {
    words:
      "The maps are counted in different units, so each is divided by its largest absolute value: the same colour is the same share of that, not the same effect.",
    ends: (map) => from(largest(map)),
    legend: () => ({ ...from(1), unit: "of the largest" }),
  };
}

/** The area under a curve over even steps from 0 to 1. */
export function area(values: readonly number[]): number {
  const ends = ((values[0] ?? NaN) + (values.at(-1) ?? NaN)) / 2;
  return (ends + values.slice(1, -1).reduce((sum, each) => sum + each, 0)) / (values.length - 1);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, each) => sum + each, 0) / values.length;
}
