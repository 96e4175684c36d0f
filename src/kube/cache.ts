import { errorMessage } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { ReflectorHandler } from "./reflector.ts";
import type { KubeObject } from "./types.ts";

/** Hears what changed in a cache; an error it throws is logged and keeps nobody else from hearing. */
export interface CacheListener<T> {
  /** `previous` is the same object (same uid) before; undefined when it is new. */
  applied(current: T, previous?: T): void;
  removed(previous: T): void;
}

export interface CacheOptions<T> {
  readonly log: Log;
  /** Named indices: which keys an object is found under. */
  readonly indices?: Readonly<Record<string, (object: T) => readonly string[]>>;
}

/** The last known state of a resource, with look-ups; fill it by giving it to a reflector as its handler. */
export class Cache<T extends KubeObject> implements ReflectorHandler<T> {
  readonly #log: Log;
  readonly #byKey = new Map<string, T>();
  readonly #byUid = new Map<string, T>();
  readonly #indices: ReadonlyMap<string, Index<T>>;
  readonly #listeners = new Set<CacheListener<T>>();

  constructor(options: CacheOptions<T>) {
    this.#log = options.log;
    const indices = Object.entries(options.indices ?? {});
    this.#indices = new Map(indices.map(([name, keysOf]) => [name, new Index(keysOf)]));
  }

  get size(): number {
    return this.#byKey.size;
  }

  get(name: string, namespace?: string): T | undefined {
    return this.#byKey.get(cacheKey({ name, namespace }));
  }

  byUid(uid: string): T | undefined {
    return this.#byUid.get(uid);
  }

  list(): readonly T[] {
    return [...this.#byKey.values()];
  }

  /** The objects that index `name` files under `key`. Throws TypeError when there is no such index. */
  byIndex(name: string, key: string): readonly T[] {
    const index = this.#indices.get(name);
    if (!index) throw new TypeError(`the cache has no index "${name}"`);
    return index.find(key);
  }

  /** Adds a listener, which hears at once of everything that is there; gives back how to take it away. */
  subscribe(listener: CacheListener<T>): () => void {
    for (const object of this.#byKey.values()) this.#tell(listener, (l) => l.applied(object));
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Makes the cache equal to `objects`; listeners hear only the differences, removals first. */
  replace(objects: readonly T[]): void {
    const uids = new Set(objects.map((object) => object.metadata.uid));
    for (const old of this.#byKey.values()) {
      if (!uids.has(old.metadata.uid)) this.remove(old);
    }
    for (const object of objects) {
      const old = this.#byUid.get(object.metadata.uid);
      if (old?.metadata.resourceVersion !== object.metadata.resourceVersion) this.apply(object);
    }
  }

  /** Adds or updates; the same name with another uid is another object: the old one is removed first. */
  apply(object: T): void {
    const old = this.#byKey.get(cacheKey(object.metadata));
    if (old && old.metadata.uid !== object.metadata.uid) this.remove(old);
    const previous = this.#byUid.get(object.metadata.uid);
    this.#byKey.set(cacheKey(object.metadata), object);
    this.#byUid.set(object.metadata.uid, object);
    for (const index of this.#indices.values()) index.move(object, previous);
    for (const listener of this.#listeners)
      this.#tell(listener, (l) => l.applied(object, previous));
  }

  /** Removes the object with this uid; one that has taken its name since stays. */
  remove(object: T): void {
    const previous = this.#byUid.get(object.metadata.uid);
    if (!previous) return;
    this.#byUid.delete(previous.metadata.uid);
    this.#byKey.delete(cacheKey(previous.metadata));
    for (const index of this.#indices.values()) index.move(undefined, previous);
    for (const listener of this.#listeners) this.#tell(listener, (l) => l.removed(previous));
  }

  #tell(listener: CacheListener<T>, what: (listener: CacheListener<T>) => void): void {
    try {
      what(listener);
    } catch (error) {
      this.#log.error({ error: errorMessage(error), err: error }, "cache listener failed");
    }
  }
}

class Index<T> {
  readonly #keysOf: (object: T) => readonly string[];
  readonly #filed = new Map<string, Set<T>>();

  constructor(keysOf: (object: T) => readonly string[]) {
    this.#keysOf = keysOf;
  }

  find(key: string): readonly T[] {
    return [...(this.#filed.get(key) ?? [])];
  }

  move(current: T | undefined, previous: T | undefined): void {
    for (const key of previous === undefined ? [] : this.#keysOf(previous)) {
      const filed = this.#filed.get(key);
      if (previous !== undefined) filed?.delete(previous);
      if (filed?.size === 0) this.#filed.delete(key);
    }
    for (const key of current === undefined ? [] : this.#keysOf(current)) {
      const filed = this.#filed.get(key);
      if (current !== undefined) (filed ?? this.#file(key)).add(current);
    }
  }

  #file(key: string): Set<T> {
    const filed = new Set<T>();
    this.#filed.set(key, filed);
    return filed;
  }
}

/** How objects are named in queues and logs: `namespace/name`, or `name` when there is no namespace. */
export function cacheKey(key: {
  readonly namespace?: string | undefined;
  readonly name: string;
}): string {
  return key.namespace === undefined ? key.name : `${key.namespace}/${key.name}`;
}
