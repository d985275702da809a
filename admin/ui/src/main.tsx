import "./styles.css";
import { Fragment, render, type ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { signedOut } from "./api";
import { ByLink, Enrol, Factor, isLink, SignIn } from "./gate";
import { Failure, Waiting } from "./parts";
import { route } from "./router";
import { again, lacking, me, refresh, unreachable } from "./session";
import { Shell } from "./shell";
import { StepUp } from "./stepup";
import "./theme";

function App() {
  useEffect(() => {
    void refresh();
  }, []);
  const who = me.value;
  const page = route.value.path[0];
  if (isLink(page) && (page !== "setup" || !who)) return <ByLink page={page} key={page} />;
  if (unreachable.value && !who)
    return (
      <main class="gate">
        <div><h1>Tenancy</h1><Failure error={unreachable.value} retry={() => void refresh()} /></div>
      </main>
    );
  if (who === undefined) return <main class="gate"><div><Waiting on /></div></main>;
  if (who === null) return <SignIn />;
  const gate = lacking.value === "second-factor" ? <Factor /> : lacking.value ? <main class="gate"><div><Enrol /></div></main> : <SignIn />;
  if (who.next) return gate;
  const over = signedOut.value || again.value;
  return (
    <Fragment key={who.id}>
      <div inert={over}><Shell /></div>
      <StepUp />
      {over && <Over>{gate}</Over>}
    </Fragment>
  );
}

/** Over is on top of the page and of its dialogs, and Escape leaves it there. */
function Over({ children }: { children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    ref.current!.showModal();
    return () => {
      if (before?.isConnected) setTimeout(() => before.focus()); // nothing is inert any more
    };
  }, []);
  return <dialog ref={ref} class="over" aria-label="Sign in" onCancel={(e) => e.preventDefault()} onClose={() => ref.current?.showModal()}>{children}</dialog>;
}

render(<App />, document.getElementById("app")!);
