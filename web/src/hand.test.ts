import { expect, test } from "vitest";
import { keyed, parsed, resized, rows, within, written } from "./hand";

const size = [100, 140] as const;

test("a square stays on its picture", () => {
  expect(within({ top: -5, left: 130, side: 20 }, size)).toEqual({ top: 0, left: 120, side: 20 });
  expect(within({ top: 3.6, left: 2.2, side: 500 }, size)).toEqual({ top: 0, left: 2, side: 100 });
});

test("an address is read as it was written; what it says wrongly is as usual", () => {
  const square = { top: 3, left: 70, side: 31 };
  expect(parsed(written(square), size)).toEqual(square);
  const usual = { top: 38, left: 58, side: 25 };
  expect(parsed(null, size)).toEqual(usual);
  expect(parsed("1,2", size)).toEqual(usual);
  expect(parsed("900,900,9", size)).toEqual({ top: 91, left: 131, side: 9 });
});

test("keys move it by steps, or by single pixels, and size it about its middle", () => {
  const square = { top: 40, left: 40, side: 20 };
  expect(keyed(square, "ArrowDown", false, size)).toEqual({ top: 44, left: 40, side: 20 });
  expect(keyed(square, "ArrowLeft", true, size)).toEqual({ top: 40, left: 39, side: 20 });
  expect(keyed(square, "+", false, size)).toEqual({ top: 36, left: 36, side: 28 });
  expect(keyed(square, "-", true, size)).toEqual({ top: 41, left: 41, side: 18 });
  expect(keyed(square, "x", false, size)).toBeNull();
  expect(resized({ top: 0, left: 0, side: 4 }, 8, size)).toEqual({ top: 0, left: 0, side: 8 });
});

test("rows keep their places; classes that came up stand below", () => {
  const answer = (index: number, probability: number) => ({ index, label: `class ${index}`, probability });
  const before = [answer(0, 0.6), answer(1, 0.3), answer(2, 0.06)];
  const now = [answer(2, 0.5), answer(1, 0.3), answer(7, 0.1)];
  expect(rows(before, now, 2)).toEqual([
    { index: 0, label: "class 0", before: 0.6, now: null },
    { index: 1, label: "class 1", before: 0.3, now: 0.3 },
    { index: 2, label: "class 2", before: 0.06, now: 0.5 },
  ]);
  expect(rows(before, null, 1)).toEqual([{ index: 0, label: "class 0", before: 0.6, now: null }]);
});
