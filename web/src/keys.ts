// Keys that a page answers to, unless they are typed into a field or meant for the browser.

export type Keys = Record<string, () => void>;

export function answer(event: KeyboardEvent, keys: Keys): void {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const on = event.target;
  if (on instanceof HTMLElement) {
    if (on.isContentEditable || document.querySelector("dialog[open]")) return;
    if (on instanceof HTMLSelectElement || on instanceof HTMLTextAreaElement) return;
    if (on instanceof HTMLInputElement && (on.type !== "range" || event.key.startsWith("Arrow"))) return;
  }
  const action = keys[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}
