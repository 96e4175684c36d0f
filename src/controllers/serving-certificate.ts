import { createServingCertificate } from "../ca/serving.ts";
import type { X509Issuer } from "../ca/issuer.ts";
import type { Clock } from "../core/clock.ts";
import { errorMessage } from "../core/errors.ts";
import { liveValue } from "../core/live.ts";
import type { Live, TlsMaterial } from "../core/live.ts";
import type { Log } from "../core/log.ts";
import type { CaState } from "./certificate-authority.ts";

/** Lifetime of the operator's own certificates; also capped by the authority's. */
const TTL_MS = 24 * 3_600_000;
const RETRY_MS = 1000;
/** Timers stand still while a machine is suspended: the clock is looked at this often. */
const LONGEST_PAUSE_MS = 60_000;

export interface ServingCertificateDeps {
  readonly ca: Live<CaState>;
  /** Names that the API server and agents call this operator by. */
  readonly dnsNames: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

export interface ServingCertificateController {
  readonly material: Live<TlsMaterial>;
  /** Renews at half-life, and at once when another authority signs, until `signal` aborts. */
  keep(signal: AbortSignal): Promise<void>;
}

/** Issues this replica its own certificate for the webhook and the issuer; the key lives in memory only. */
export async function openServingCertificate(
  deps: ServingCertificateDeps,
): Promise<ServingCertificateController> {
  const { ca, clock, log } = deps;
  let issuer = ca.get().issuer;
  const material = liveValue(await issueServing(deps, issuer));
  let halfLife = half(material.get(), clock.now());
  return {
    material,
    async keep(signal) {
      while (!signal.aborted) {
        const changed = new AbortController();
        const look = ({ issuer: next }: CaState): void => {
          if (next.authority.id !== issuer.authority.id) changed.abort();
        };
        const unsubscribe = ca.subscribe(look);
        // The authority may have changed while the last certificate was made.
        look(ca.get());
        const pause = Math.min(LONGEST_PAUSE_MS, Math.max(0, halfLife - clock.now()));
        await clock.sleep(pause, AbortSignal.any([signal, changed.signal])).catch(() => undefined);
        unsubscribe();
        if (signal.aborted) return;
        if (!changed.signal.aborted && clock.now() < halfLife) continue;
        try {
          issuer = ca.get().issuer;
          material.set(await issueServing(deps, issuer));
          halfLife = half(material.get(), clock.now());
        } catch (error) {
          log.error({ error: errorMessage(error) }, "the operator's certificate was not renewed");
          halfLife = clock.now() + RETRY_MS;
        }
      }
    },
  };
}

async function issueServing(
  deps: ServingCertificateDeps,
  issuer: X509Issuer,
): Promise<TlsMaterial> {
  const { dnsNames, clock } = deps;
  const { keyPem, chainPem, notAfter } = await createServingCertificate(issuer, {
    dnsNames,
    ttlMs: TTL_MS,
    now: clock.now(),
  });
  return { key: keyPem, cert: chainPem, notAfter };
}

function half(material: TlsMaterial, now: number): number {
  return now + (material.notAfter - now) / 2;
}
