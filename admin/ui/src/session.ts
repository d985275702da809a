// Who is signed in, and what they may do.
import { signal } from "@preact/signals";
import { get, post, Problem, signedOut } from "./api";

export interface Me {
  id: string;
  name: string;
  email: string;
  role: string;
  /** What the sign-in lacks: "second-factor", "enrol", or nothing. */
  next: string;
  second_factor: boolean;
  scope: { all?: boolean; tags?: string[]; ids?: string[] };
  permissions: string[] | null;
  parts: string[];
  session: { id: string; authenticated_at: string; expires_at: string; idle_at?: string; fresh: boolean };
  demo: boolean;
  /** Operators, sessions and tokens are the console's own. */
  own_sign_in: boolean;
}

/** me is undefined until the server has answered, and null while nobody is signed in. It stays while the same operator signs in again. */
export const me = signal<Me | null | undefined>(undefined);
/** lacking is the step that is left of a sign-in: "second-factor", "enrol", or nothing. */
export const lacking = signal("");
/** unreachable holds the error when even `me` could not be read. */
export const unreachable = signal<unknown>(undefined);

/** elsewhere says that operators sign in at the application: nobody signs in or out here. */
export const elsewhere = signal(false);

/** unkept says that recovery codes are shown at the gate, or on their way: nothing takes them away until somebody has kept them. */
export const unkept = signal(false);

export async function refresh(): Promise<void> {
  const answer = await get<Me>("me").then((who) => ({ who }), (err: unknown) => ({ err }));
  if (unkept.value) return;
  if ("who" in answer) {
    const { who } = answer;
    elsewhere.value = !who.own_sign_in;
    lacking.value = who.next;
    if (!who.next || who.id !== me.value?.id) me.value = who; // a page that was open stays below the sign-in
    signedOut.value = !!who.next;
    unreachable.value = undefined;
  } else {
    const { err } = answer;
    if (err instanceof Problem && err.status === 401) {
      if (!me.value || me.value.next) me.value = null;
      lacking.value = "";
      signedOut.value = true;
      unreachable.value = undefined;
    } else unreachable.value = err;
  }
}

// Tabs share a session: each looks again when another has changed it, and when it is seen again.
const tabs = "BroadcastChannel" in globalThis ? new BroadcastChannel("tenancy-session") : null;
tabs?.addEventListener("message", () => void refresh());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) void refresh();
});

/** changed looks who is signed in after this tab has changed it, and makes the other tabs look. */
export async function changed(): Promise<void> {
  tabs?.postMessage("");
  await refresh();
}

export const may = (permission: string): boolean => me.value?.permissions?.includes(permission) ?? false;
/** Offer is what somebody must have to be offered a page or an action. */
export interface Offer {
  permission?: string;
  /** The part of the application that must be wired. */
  part?: string;
  /** For operators whose scope is all tenants. */
  everywhere?: boolean;
  /** Where the console signs its operators in itself. */
  own?: boolean;
}

export const offered = (o: Offer): boolean => (!o.permission || may(o.permission)) && (!o.part || wired(o.part)) && (!o.everywhere || !!me.value?.scope.all) && (!o.own || !!me.value?.own_sign_in);

/** again is set while somebody signs in anew, before the session ends. */
export const again = signal(false);

export const wired = (part: string): boolean => me.value?.parts.includes(part) ?? false;

export async function signIn(email: string, password: string): Promise<void> {
  try {
    await post("auth/sign-in", { email, password });
  } catch (err) {
    if (err instanceof Problem && err.is("unknown")) elsewhere.value = true;
    throw err;
  }
  await changed();
  again.value = false;
}

export async function signOut(): Promise<void> {
  await post("auth/sign-out");
  tabs?.postMessage("");
  me.value = null;
  lacking.value = "";
  signedOut.value = true;
}
