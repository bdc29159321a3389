import { expect, test } from "vitest";
import { INVALID, palette, value } from "./palette";

test("a colour is the level it was made from", () => {
  const colours = Array.from({ length: 255 }, (_, level) => `#${level.toString(16).padStart(2, "0")}0102`);
  const made = palette(colours, "#8c8c8c");
  expect(made.levels.get(0xff020107)).toBe(7);
  expect(made.levels.get(0xff8c8c8c)).toBe(INVALID);
});

test("levels are values between the ends of the scale", () => {
  expect(value(0, -2, 2)).toBe(-2);
  expect(value(127, -2, 2)).toBe(0);
  expect(value(254, -2, 2)).toBe(2);
  expect(value(INVALID, -2, 2)).toBeNaN();
});
