// Files that the page makes itself.

/** save lets the browser keep a text or a file. */
export function save(name: string, text: string | File, type = "text/plain"): void {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(typeof text === "string" ? new Blob([text], { type }) : text);
  a.download = name;
  a.click();
  URL.revokeObjectURL(a.href);
}

/** csv writes rows (RFC 4180). A text that a spreadsheet would take for a formula begins with an apostrophe. */
export const csv = (rows: unknown[][]): string =>
  rows.map((row) => row.map((v) => { const s = String(v ?? "").replace(/^[=+\-@\t\r\n＝＋－＠]/, "'$&"); return /[",\r\n]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s; }).join() + "\r\n").join("");
