// How cells are laid out.

export interface Layout {
  across: number;
  down: number;
  cellWidth: number;
  cellHeight: number;
}

const SMALLEST = 26;
const LARGEST = 132;

/** Cells of `rows × columns` values, so large that all `count` are seen at once if they can be, in whole pixels. */
export function layout(
  count: number,
  rows: number,
  columns: number,
  width: number,
  height: number,
  gap: number,
): Layout {
  if (width <= 0 || count === 0) return { across: 1, down: 0, cellWidth: 0, cellHeight: 0 };
  const ratio = rows / columns;
  const fit = (cellWidth: number): Layout => {
    const across = Math.max(1, Math.floor((width + gap) / (cellWidth + gap)));
    const cellHeight = Math.max(1, Math.round(cellWidth * ratio));
    return { across, down: Math.ceil(count / across), cellWidth, cellHeight };
  };
  for (let side = Math.min(LARGEST, width); side > SMALLEST; side--) {
    const tried = fit(side);
    if (tried.down * (tried.cellHeight + gap) - gap <= height) return tried;
  }
  return fit(SMALLEST);
}
