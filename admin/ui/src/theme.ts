import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const stored = localStorage.getItem("theme");
export const theme = signal<Theme>(stored === "light" || stored === "dark" ? stored : "system");
const dark = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(dark.matches);
dark.addEventListener("change", (e) => (systemDark.value = e.matches));

effect(() => {
  const now = theme.value === "system" ? (systemDark.value ? "dark" : "light") : theme.value;
  document.documentElement.dataset.theme = now;
  if (theme.value === "system") localStorage.removeItem("theme");
  else localStorage.setItem("theme", theme.value);
});
