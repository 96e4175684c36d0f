/** What is known of the machine before an engine is chosen. */
export interface EngineFacts {
  readonly machineEngineAnswers: boolean;
  readonly isLinux: boolean;
  readonly isDebian: boolean;
  readonly isRoot: boolean;
}

/** Which Docker engine to use; `none` carries what the reader has to do. */
export type EngineChoice =
  | { readonly kind: "machine" }
  | { readonly kind: "own" }
  | { readonly kind: "none"; readonly reason: string };

/** What is known of an engine before its images are chosen. */
export interface ImageFacts {
  readonly publishedNodeImage: boolean;
  readonly ownEngine: boolean;
  readonly isRoot: boolean;
  readonly isDebian: boolean;
  /** Whether the engine runs privileged containers: kind's nodes are such ones. */
  readonly privilegedWorks: boolean;
}

/** Where the node image comes from, and on which engine. */
export type ImageChoice =
  | { readonly kind: "published" }
  | { readonly kind: "made"; readonly engine: "this" | "own" }
  | { readonly kind: "none"; readonly reason: string };

const byHand =
  "install Docker (Debian package docker.io, or Docker Desktop) and start it, " +
  "or run this as root on Debian, which installs and starts an engine of its own";

/** Chooses the engine: the machine's own where it answers, else one we run (root on Debian). */
export function chooseEngine(facts: EngineFacts): EngineChoice {
  if (facts.machineEngineAnswers) return { kind: "machine" };
  if (!facts.isLinux) return { kind: "none", reason: `no Docker engine answers: ${byHand}` };
  if (!facts.isRoot)
    return { kind: "none", reason: `no Docker engine answers, not root: ${byHand}` };
  if (!facts.isDebian) return { kind: "none", reason: `no Docker engine, not Debian: ${byHand}` };
  return { kind: "own" };
}

/** Chooses the node image: kind's published one where it can be pulled, else one made here (root on Debian). */
export function chooseImages(facts: ImageFacts): ImageChoice {
  const usable = facts.privilegedWorks || facts.ownEngine;
  if (facts.publishedNodeImage && usable) return { kind: "published" };
  if (!facts.isRoot || !facts.isDebian) {
    const why = usable ? "the node image cannot be pulled" : "privileged containers fail";
    return { kind: "none", reason: `${why}, and making it needs root on Debian` };
  }
  return { kind: "made", engine: usable ? "this" : "own" };
}
