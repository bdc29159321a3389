import { expect, test } from "vitest";
import { number, percent, shape, short } from "./format";

test("three digits that count", () => {
  expect([0, 0.0123, 12.34, -3, 100, 1.2e-7, 123456, NaN, null].map(number)).toEqual([
    "0",
    "0.0123",
    "12.3",
    "−3",
    "100",
    "1.2e−7",
    "1.2e5",
    "–",
    "–",
  ]);
});

test("shares, shapes and labels", () => {
  expect([1, 0.123, 0.0004, null].map(percent)).toEqual(["100%", "12.3%", "0.04%", "–"]);
  expect(shape([40, 28, 28])).toBe("40 ch · 28×28");
  expect(shape([1000])).toBe("1000 values");
  expect(short("tabby, tabby cat")).toBe("tabby");
});
