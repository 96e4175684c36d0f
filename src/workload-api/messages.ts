import { create, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import {
  JWTBundlesResponseSchema,
  X509BundlesResponseSchema,
  X509SVIDResponseSchema,
} from "../rpc/gen/spiffe/workload/workload_pb.js";
import { SignetError } from "../core/errors.ts";
import { EncodedMessage } from "../rpc/service.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import { responseHints } from "./hints.ts";
import { jwtKeySet } from "./jwt-keys.ts";
import type { EntitledState } from "./ports.ts";

/** Gives the message that a state is told with. */
export type Encode = (state: EntitledState) => EncodedMessage;

/** The messages of the streams; all callers share the encoded form of a state. */
export interface StateMessages {
  readonly x509Svids: Encode;
  readonly x509Bundles: Encode;
  readonly jwtBundles: Encode;
}

/** Encodes states, each once per RPC however many streams it goes to. */
export function stateMessages(): StateMessages {
  return {
    x509Svids: remembered((state) => encode(X509SVIDResponseSchema, x509SvidResponse(state))),
    x509Bundles: remembered((state) => {
      checkAuthorities(state);
      const bundles = byTrustDomain(allBundles(state).filter(hasX509Authorities), certificates);
      return encode(X509BundlesResponseSchema, { bundles });
    }),
    jwtBundles: remembered((state) => {
      const own = state.trustDomain;
      const verifying = allBundles(state).filter(
        ([trustDomain, bundle]) => trustDomain === own || bundle.jwtAuthorities.length > 0,
      );
      const bundles = byTrustDomain(verifying, (bundle) => Buffer.from(jwtKeySet(bundle)));
      return encode(JWTBundlesResponseSchema, { bundles });
    }),
  };
}

/** A bundle is mandatory in the X.509 profile, and there is no way to say that it is empty. */
function checkAuthorities({ bundle, trustDomain }: EntitledState): void {
  if (bundle.x509Authorities.length > 0) return;
  throw new SignetError("PERMISSION_DENIED", `trust domain ${trustDomain} has no X.509 authority`);
}

function hasX509Authorities([, bundle]: readonly [string, Bundle]): boolean {
  return bundle.x509Authorities.length > 0;
}

function x509SvidResponse(state: EntitledState): MessageInitShape<typeof X509SVIDResponseSchema> {
  checkAuthorities(state);
  const hints = responseHints(state.svids);
  const bundle = certificates(state.bundle);
  const foreign = [...state.federatedBundles].filter(
    ([trustDomain]) => trustDomain !== state.trustDomain,
  );
  return {
    svids: state.svids.map((svid, i) => ({
      spiffeId: svid.spiffeId,
      x509Svid: Buffer.concat(svid.chain),
      x509SvidKey: svid.privateKey,
      bundle,
      hint: hints[i] ?? "",
    })),
    federatedBundles: byTrustDomain(foreign.filter(hasX509Authorities), certificates),
  };
}

/** Own bundle and foreign ones; a foreign one that goes by our own name does not count. */
function allBundles(state: EntitledState): (readonly [string, Bundle])[] {
  return [...new Map([...state.federatedBundles, [state.trustDomain, state.bundle] as const])];
}

function certificates(bundle: Bundle): Buffer {
  return Buffer.concat(bundle.x509Authorities);
}

/** Sorted, so that equal states have equal messages. */
function byTrustDomain(
  bundles: readonly (readonly [string, Bundle])[],
  value: (bundle: Bundle) => Buffer,
): Record<string, Buffer> {
  const sorted = bundles.toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    sorted.map(([trustDomain, bundle]) => [`spiffe://${trustDomain}`, value(bundle)]),
  );
}

function encode<S extends DescMessage>(schema: S, message: MessageInitShape<S>): EncodedMessage {
  return new EncodedMessage(Buffer.from(toBinary(schema, create(schema, message))));
}

function remembered(encodeState: Encode): Encode {
  const known = new WeakMap<EntitledState, EncodedMessage>();
  return (state) => {
    const found = known.get(state) ?? encodeState(state);
    known.set(state, found);
    return found;
  };
}
