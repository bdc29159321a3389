import { expect, test } from "vitest";
import { area, chosen, compared, covering, mean, method, named, NAMES, question, targetOf, toggled } from "./methods";

test("the methods of an address, each once, without what there is not", () => {
  expect(chosen("grad-cam,occlusion,grad-cam,magic,constructor")).toEqual(["grad-cam", "occlusion"]);
  expect(chosen("")).toEqual([]);
  expect(toggled(toggled("", "verdict"), "curves")).toBe("verdict,curves");
  expect(toggled("verdict,curves", "verdict")).toBe("curves");
});

test("each method says what it shows and when it misleads, in a sentence each", () => {
  for (const name of NAMES) {
    const { shows, misleads } = method(name);
    for (const sentence of [shows, misleads]) expect(sentence).toMatch(/^[A-Z][^.]*\.$/);
  }
});

test("targets are read by their labels", () => {
  const labels = ["tabby, tabby cat", "lynx"];
  expect(named("class:0 - class:1", labels)).toBe("tabby - lynx");
  expect(named("class:7", labels)).toBe("class 7");
  expect(named("blocks.3:12", labels)).toBe("blocks.3:12");
  expect(named("class:0", null)).toBe("class 0");
});

test("what is asked reads as a question", () => {
  const labels = ["tabby, tabby cat", "lynx"];
  expect(question("class:0", labels)).toBe("Why tabby?");
  expect(question("class:0 - class:1", labels)).toBe("Why tabby rather than lynx?");
  expect(question("golden retriever", labels)).toBe("Why golden retriever?");
  expect(question("blocks.3:12", labels)).toBe("What drives blocks.3:12?");
});

test("labels that hold what stands between targets stay whole", () => {
  const labels = ["crack - surface: below 0.1 mm, along the grain", "sound", "twice", "twice"];
  expect(question("class:0", labels)).toBe("Why crack - surface: below 0.1 mm?");
  expect(question("class:0 - class:1", labels)).toBe("Why crack - surface: below 0.1 mm rather than sound?");
  expect(question("class:3", null)).toBe("Why class 3?");
  expect(labels.map((_, index) => targetOf(index, labels))).toEqual(["class:0", "sound", "class:2", "class:3"]);
  expect(targetOf(1, null)).toBe("class:1");
});

test("occlusion is as the address says, and else by the picture's size", () => {
  expect(covering(null, [224, 224])).toEqual({ window: 32, stride: 8, fill: "gray" });
  expect(covering(null, [4, 4])).toEqual({ window: 1, stride: 1, fill: "gray" });
  expect(covering("500,0,zero", [224, 240])).toEqual({ window: 224, stride: 1, fill: "zero" });
  expect(covering("x,,pink", [224, 224])).toEqual({ window: 32, stride: 8, fill: "gray" });
});

const signed = { low: -2, high: 2, diverging: true, unit: "logit" };
const positive = { low: 0, high: 3, diverging: false, unit: "logit" };
const other = { low: 0, high: 0.5, diverging: false, unit: "activation" };

test("with scales of their own maps stay as they are", () => {
  const { ends, legend, words } = compared([signed, positive], false);
  expect(ends(signed)).toBeUndefined();
  expect(legend(signed)).toBe(signed);
  expect(words).toMatch(/its own scale/);
});

test("maps in one unit share one scale, which holds them all", () => {
  const { ends, words } = compared([signed, positive], true);
  expect(ends(signed)).toEqual({ low: -3, high: 3, diverging: true });
  expect(ends(positive)).toEqual(ends(signed));
  expect(words).toMatch(/in logit/);
  expect(compared([positive], true).ends(positive)).toEqual({ low: 0, high: 3, diverging: false });
});

test("maps in different units are compared by their largest values, which is said", () => {
  const { ends, legend, words } = compared([signed, other], true);
  expect(ends(signed)).toEqual({ low: -2, high: 2, diverging: true });
  expect(ends(other)).toEqual({ low: -0.5, high: 0.5, diverging: true });
  expect(legend(other)).toMatchObject({ low: -1, high: 1 });
  expect(words).toMatch(/divided by its largest absolute value/);
});

test("areas are by trapezoids", () => {
  expect(area([1, 0.5, 0])).toBe(0.5);
  expect(area([0, 1])).toBe(0.5);
  expect(mean([1, 2, 6])).toBe(3);
});
