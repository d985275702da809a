import { call } from "./api";
import { save } from "./download";
import { useForm } from "./gate";
import { Failure } from "./parts";

/** Export is a button for a file of the API. The page fetches it, so that a refusal is shown beside the button and a transfer that breaks off leaves no file. */
export function Export({ path, query, what }: { path: string; query: { [name: string]: string | undefined; format: string }; what?: string }) {
  const form = useForm(async () => {
    const { data } = await call<File>(path, { query, file: true });
    save(data.name, data);
  });
  return (
    <form class="inline" onSubmit={form.submit}>
      <button disabled={form.busy}>Export {what ?? (query.format === "csv" ? "CSV" : "JSON lines")}</button>
      <Failure error={form.error} />
    </form>
  );
}
