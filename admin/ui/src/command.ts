// What the palette offers beside pages: a page lists its actions while it is shown.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export interface Command {
  title: string;
  run(): void;
}

export const commands = signal<Command[]>([]);

/** useCommands offers actions in the palette as long as the page is shown. */
export function useCommands(list: Command[]): void {
  const titles = list.map((c) => c.title).join("\n");
  useEffect(() => {
    commands.value = [...commands.value, ...list];
    return () => {
      commands.value = commands.value.filter((c) => !list.includes(c));
    };
  }, [titles]);
}
