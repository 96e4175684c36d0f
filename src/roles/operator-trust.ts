import { serviceDnsNames } from "../ca/serving.ts";
import { openCertificateAuthority } from "../controllers/certificate-authority.ts";
import type { CaController, CaState } from "../controllers/certificate-authority.ts";
import { journalSecret } from "../controllers/journal-secret.ts";
import type { JournalSecret } from "../controllers/journal-secret.ts";
import { openServingCertificate } from "../controllers/serving-certificate.ts";
import { backoffDelay } from "../core/backoff.ts";
import { errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import { liveValue } from "../core/live.ts";
import type { Live, TlsMaterial } from "../core/live.ts";
import type { Service } from "../core/lifecycle.ts";
import { startReflector } from "../kube/reflector.ts";
import type { Reflector } from "../kube/reflector.ts";
import { SECRETS } from "../kube/resources.ts";
import type { Secret } from "../kube/types.ts";
import { sameAuthorities } from "../spiffe/bundle.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import { parseTrustDomain, trustDomainHazard } from "../spiffe/trust-domain.ts";
import type { OperatorContext } from "./operator.ts";

/** The CA and what hangs on it; usable once started. */
export interface Trust extends Service {
  ca(): CaController;
  /** The trust bundle; changes with the CA, and only when its content does. */
  bundle(): Live<Bundle>;
  /** This replica's own TLS certificate. */
  material(): Live<TlsMaterial>;
}

interface Opened {
  readonly ca: CaController;
  readonly bundle: Live<Bundle>;
  readonly material: Live<TlsMaterial>;
  readonly watch: Reflector;
  readonly keeping: Promise<void>;
}

/** Opens the CA, follows its Secret, and keeps this replica's serving certificate fresh. */
export function trustService(context: OperatorContext): Trust {
  const stopping = new AbortController();
  let opened: Opened | undefined;
  const get = (): Opened => {
    if (opened === undefined) throw new SignetError("UNAVAILABLE", "the CA is not open yet");
    return opened;
  };
  return {
    name: "ca",
    async start() {
      opened = await open(context, stopping.signal);
    },
    async stop() {
      stopping.abort();
      await opened?.watch.stop();
      await opened?.keeping;
    },
    ca: () => get().ca,
    bundle: () => get().bundle,
    material: () => get().material,
  };
}

async function open(context: OperatorContext, signal: AbortSignal): Promise<Opened> {
  const { config, client, clock, namespace } = context;
  const log = context.log.child({ component: "ca" });
  const trustDomain = parseTrustDomain(config.trustDomain);
  const hazard = trustDomainHazard(trustDomain);
  if (hazard !== undefined) throw new SignetError("INVALID_ARGUMENT", hazard);
  const { caSecretName, caTtl, caKeyType, serviceName } = config.operator;
  const { jwtAlgorithm, jwtKeyTtl = caTtl } = config.operator;
  const jwtIssuer = config.operator.jwtIssuer || `spiffe://${trustDomain}`;
  const secret = journalSecret(client, { namespace, name: caSecretName }, trustDomain);
  const jwt = { algorithm: jwtAlgorithm, ttlMs: jwtKeyTtl };
  const rotation = { ttlMs: caTtl, keyType: caKeyType, jwt };
  const ca = await untilAvailable(context, signal, () =>
    openCertificateAuthority({ secret, trustDomain, rotation, jwtIssuer, clock, log }),
  );
  const dnsNames = serviceDnsNames(serviceName, namespace, config.clusterDomain);
  const serving = await openServingCertificate({ ca: ca.state, dnsNames, clock, log });
  return {
    ca,
    bundle: bundleOf(ca.state),
    material: serving.material,
    watch: watchSecret(context, ca, secret),
    keeping: serving.keep(signal),
  };
}

/** Tries again while the API server cannot be reached; whatever else is wrong ends the process with its reason. */
async function untilAvailable<T>(
  { clock, random, log }: OperatorContext,
  signal: AbortSignal,
  open: () => Promise<T>,
): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await open();
    } catch (error) {
      if (!isSignetError(error, "UNAVAILABLE", "PERMISSION_DENIED")) throw error;
      log.warn({ error: errorMessage(error) }, "the CA cannot be opened yet; trying again");
      await clock.sleep(backoffDelay(attempt, { initialMs: 200, maxMs: 10_000 }, random), signal);
    }
  }
}

function bundleOf(state: Live<CaState>): Live<Bundle> {
  const bundle = liveValue(state.get().bundle);
  state.subscribe((next) => {
    const { sequence } = bundle.get();
    if (next.bundle.sequence === sequence && sameAuthorities(next.bundle, bundle.get())) return;
    bundle.set(next.bundle);
  });
  return bundle;
}

/** Follows the CA's Secret: what the leader writes takes effect on every replica. */
function watchSecret(context: OperatorContext, ca: CaController, secret: JournalSecret): Reflector {
  const { client, clock, random, namespace } = context;
  const log = context.log.child({ component: "ca" });
  const name = context.config.operator.caSecretName;
  const observe = (object: Secret): void => {
    try {
      ca.observe(secret.decode(object));
    } catch (error) {
      log.error({ error: errorMessage(error) }, "the CA Secret cannot be used; kept the CA in use");
    }
  };
  const restore = (): void => {
    ca.restore().catch((error: unknown) => {
      if (isSignetError(error, "ALREADY_EXISTS")) return;
      log.error({ error: errorMessage(error) }, "the deleted CA Secret could not be written back");
    });
  };
  return startReflector<Secret>({
    client,
    resource: SECRETS,
    namespace,
    fieldSelector: `metadata.name=${name}`,
    handler: {
      replace: (objects) => (objects.length === 0 ? restore() : objects.forEach(observe)),
      apply: observe,
      remove: restore,
    },
    clock,
    log,
    random,
  });
}
