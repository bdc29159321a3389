// Light, dark, or as the system has it; kept in this browser.

const ALL = ["system", "light", "dark"] as const;
type Theme = (typeof ALL)[number];

function kept(): Theme {
  const found = typeof localStorage === "undefined" ? null : localStorage.getItem("theme");
  return ALL.find((each) => each === found) ?? "system";
}

class Choice {
  chosen = $state<Theme>(kept());

  constructor() {
    if (typeof document !== "undefined") this.#set();
  }

  next(): void {
    this.chosen = ALL[(ALL.indexOf(this.chosen) + 1) % ALL.length]!;
    localStorage.setItem("theme", this.chosen);
    this.#set();
  }

  #set(): void {
    if (this.chosen === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = this.chosen;
  }
}

export const theme = new Choice();
