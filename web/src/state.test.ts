import { expect, test } from "vitest";
import { parsed, written } from "./state.svelte";

test("an address says what it was written from", () => {
  const { page, fields } = parsed("/look", "?network=n&layer=blocks.3&channel=12&place=3%2C4&rule=guided");
  expect(page).toBe("look");
  expect(fields).toMatchObject({ network: "n", layer: "blocks.3", channel: 12, place: "3,4", rule: "guided" });
  expect(written(page, fields)).toBe("look?network=n&layer=blocks.3&channel=12&place=3%2C4&rule=guided");
});

test("what an address says wrongly is as usual", () => {
  const { page, fields } = parsed("/x/nowhere", "?channel=-1&rule=magic&sort=constructor&unknown=1");
  expect(page).toBe("look");
  expect(fields).toMatchObject({ channel: null, rule: "gradient", sort: "index" });
  expect(written("look", fields)).toBe("look");
});
