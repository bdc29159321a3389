// The occluder in hand: a square on a picture, in whole pixels of it.

export interface Square {
  top: number;
  left: number;
  side: number;
}

const clamped = (value: number, low: number, high: number) => Math.min(high, Math.max(low, Math.round(value)));

/** A square moved and made so small that it lies on a picture of `size`. */
export function within(square: Square, [rows, columns]: readonly [number, number]): Square {
  const side = clamped(square.side, 1, Math.min(rows, columns));
  return { side, top: clamped(square.top, 0, rows - side), left: clamped(square.left, 0, columns - side) };
}

/** The square of an address, "top,left,side"; else one of a quarter, in the middle. */
export function parsed(text: string | null, size: readonly [number, number]): Square {
  const given = /^(\d{1,6}),(\d{1,6}),(\d{1,6})$/.exec(text ?? "");
  if (given) return within({ top: Number(given[1]), left: Number(given[2]), side: Number(given[3]) }, size);
  const side = Math.max(1, Math.round(Math.min(...size) / 4));
  return within({ side, top: (size[0] - side) / 2, left: (size[1] - side) / 2 }, size);
}

export function written({ top, left, side }: Square): string {
  return `${top},${left},${side}`;
}

/** Another side about the same middle. */
export function resized(square: Square, side: number, size: readonly [number, number]): Square {
  const by = (square.side - side) / 2;
  return within({ top: square.top + by, left: square.left + by, side }, size);
}

/** Where a key moves or sizes it; null if the key is for something else. With `fine` by single pixels. */
export function keyed(square: Square, key: string, fine: boolean, size: readonly [number, number]): Square | null {
  const step = fine ? 1 : Math.max(1, Math.round(Math.min(...size) / 28));
  const { top, left, side } = square;
  switch (key) {
    case "ArrowUp":
      return within({ top: top - step, left, side }, size);
    case "ArrowDown":
      return within({ top: top + step, left, side }, size);
    case "ArrowLeft":
      return within({ top, left: left - step, side }, size);
    case "ArrowRight":
      return within({ top, left: left + step, side }, size);
    case "+":
    case "=":
      return resized(square, Math.min(side + 2 * step, Math.min(...size)), size);
    case "-":
      return resized(square, Math.max(1, side - 2 * step), size);
    default:
      return null;
  }
}

interface Answer {
  index: number;
  label: string;
  probability: number | null;
}

export interface Row {
  index: number;
  label: string;
  /** Null where it is not known, being small. */
  before: number | null;
  now: number | null;
}

/** The first `count` classes of the picture as it is, and with the square; then those that came up with it. */
export function rows(before: readonly Answer[], now: readonly Answer[] | null, count: number): Row[] {
  const first = before.slice(0, count);
  const came = (now ?? []).slice(0, count).filter((each) => first.every((known) => known.index !== each.index));
  const share = (answers: readonly Answer[] | null, index: number) =>
    answers?.find((each) => each.index === index)?.probability ?? null;
  return [...first, ...came].map(({ index, label }) => ({
    index,
    label,
    before: share(before, index),
    now: now ? share(now, index) : null,
  }));
}
