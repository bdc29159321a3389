import { expect, test } from "vitest";
import { layout } from "./grid";

test("all cells are seen at once where they can be", () => {
  for (const count of [1, 7, 40, 192, 320]) {
    const { across, down, cellWidth, cellHeight } = layout(count, 14, 14, 700, 560, 2);
    expect(across * down).toBeGreaterThanOrEqual(count);
    expect(across * (cellWidth + 2) - 2).toBeLessThanOrEqual(700);
    expect(down * (cellHeight + 2) - 2).toBeLessThanOrEqual(560);
  }
});

test("cells are never too small to be seen, nor wider than the page", () => {
  expect(layout(1280, 7, 7, 300, 200, 2).cellWidth).toBe(26);
  expect(layout(1, 7, 7, 90, 900, 2)).toMatchObject({ across: 1, cellWidth: 90 });
});

test("nothing is laid out where there is no room yet", () => {
  expect(layout(40, 7, 7, 0, 0, 2).down).toBe(0);
});
