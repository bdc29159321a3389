// Numbers and shapes as they are shown.

/** Three digits that count: 0.0123, 12.3, 1.2e−7; a dash for what is no number, as in a network that overflows. */
export function number(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(1).replace("-", "−").replace("e+", "e");
  return value
    .toPrecision(3)
    .replace(/(\.\d*?)0+$/, "$1")
    .replace(/\.$/, "")
    .replace("-", "−");
}

export function percent(share: number | null): string {
  if (share === null || !Number.isFinite(share)) return "–";
  const value = 100 * share;
  return `${value >= 99.95 ? "100" : value >= 10 ? value.toFixed(1) : value >= 0.1 ? value.toFixed(1) : value.toFixed(2)}%`;
}

export function shape(sizes: readonly number[]): string {
  const [channels, ...space] = sizes;
  return space.length ? `${channels} ch · ${space.join("×")}` : `${channels} values`;
}

export function seconds(count: number): string {
  return count < 10 ? `${count.toFixed(1)} s` : count < 90 ? `${Math.round(count)} s` : `${Math.round(count / 60)} min`;
}

/** A label without its synonyms. */
export function short(label: string): string {
  return label.split(",")[0]!;
}
